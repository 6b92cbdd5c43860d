"""The command line's words in Chinese and English, by code. Data only; machines read codes, never these texts."""

from collections.abc import Mapping
from types import MappingProxyType

Both = tuple[str, str]  # Chinese, English

LANGUAGES = ("zh", "en")

SAID: Mapping[str, Both] = MappingProxyType({
    "no_case": ("本节点没有判过这个任务：{name}", "this node has judged no such job: {name}"),
    "held": ("已暂停，等人处理：{job}", "held for a person: {job}"),
    "released": ("已放行，将立即重新核对：{job}", "released; it is judged again at once: {job}"),
    "denied": ("已拒绝：{job}", "denied: {job}"),
    "taken_back": ("已提交过：节点将签发收回声明，交给平台，并存入 {folder}；请把该文件也放进随机数服务的 inbox/",
                   "it had contributed: the node signs a withdrawal, for the portal and as a file in {folder}; hand "
                   "that file to the dealer's office, too (into its inbox/)"),
    "not_held": ("这个任务没有被暂停，不能放行：{job}（{decision}）",
                 "this job is not held, so there is nothing to release: {job} ({decision})"),
    "under_way": ("这个任务已经接受，不能再暂停；不要它进行就用 deny：{job}",
                  "this job was accepted already and cannot be held any more; to end it, deny it: {job}"),
    "unverified": ("未核实：任务书和授权没有全部通过核对，其中所写不作为事实显示",
                   "not verified: the papers did not pass this node's checks, so what they say is not shown as fact"),
    "unverified_name": ("{who}（未核实）", "{who} (not verified)"),
    "limit": ("（限 {limit}；本任务 {met}）", " (limit {limit}; this job {met})"),
    "now": ("现在的结论：{decision} {code}", "the verdict now: {decision} {code}"),
    "later": ("节点没有运行；下次启动时处理", "the node is not running; this counts from its next start"),
    "waiting": ("节点还没有答复，用 explain 再看", "the node has not answered yet; look again with explain"),
    "stopped": ("已停止：正在运行的任务立即中止，新的任务一律拒绝，直到 start",
                "stopped: running jobs are aborted at once and new ones refused until start"),
    "ended_by_force": (
        "台账写不进去（磁盘满？），停止没有记下：节点已被结束，任务随之中止；腾出空间后再执行 stop，否则启动后照常运行",
        "the book cannot be written (a full disk?), so the stop is not kept: the node itself was ended, and its jobs "
        "with it; free some room and stop again, or it works again when it is started"),
    "not_ended": (
        "台账写不进去，节点进程也没有结束：请结束服务（systemctl stop xinglin-node）",
        "the book cannot be written, and the node did not end: end the service (systemctl stop xinglin-node)"),
    "started": ("已恢复：从现在起照常核对任务", "started: jobs are judged again from now on"),
    "audit_holds": ("记录完好：{lines} 行", "the record holds; lines: {lines}"),
    "policy_holds": ("策略可用：{rules} 条规则", "the policy can be read; rules: {rules}"),
    "policy_broken": ("策略不能读，节点拒绝一切任务：{text}。由本院数据官改正",
                      "the policy cannot be read, so the node denies every job: {text}. The custodian must mend it"),
    "who": ("谁来处理：{who}", "who must act: {who}"),
    "running": ("运行中", "running"),
    "not_running": ("没有运行", "not running"),
    "nothing": ("没有", "none"),
})

STEPS: Mapping[str, Both] = MappingProxyType({
    "switch": ("节点没有停", "the node is not stopped"),
    "signature": ("任务书与企业签名", "the spec and the consumer's signature"),
    "freshness": ("任务书在期限内", "the spec is in its time"),
    "function": ("函数摘要", "the function's digest"),
    "roster": ("名册与公钥", "the roster and its keys"),
    "grants": ("授权与两方签名", "the grants and both signatures"),
    "own_grant": ("本院授权用本院固定的公钥", "our own grant, by the key pinned here"),
    "datasets": ("数据集登记", "the datasets' records"),
    "agreement": ("合约", "the agreement"),
    "parameters": ("参数", "the parameters"),
    "period": ("授权期限", "the grants' period"),
    "engine": ("计算引擎的条件", "what the engine asks of the spec"),
    "book": ("本院台账：重放、次数、撤销、以前的表", "our book: replay, uses, revocations, earlier tables"),
    "policy": ("本院策略 policy.toml", "our policy.toml"),
    "data": ("数据文件指纹", "the file's fingerprint"),
    "chain": ("链上状态", "the chain"),
    "reserve": ("登记次数，准备会话", "reserving the use, preparing the session"),
})

POINTS: Mapping[str, Both] = MappingProxyType({
    "customers": ("不是对这家企业的", "is not about this customer"),
    "functions": ("不是对这个函数的", "is not about this function"),
    "speaks": ("适用", "speaks about this job"),
    "columns": ("列的敏感级别", "columns by sensitivity"),
    "filters": ("筛选可用的列", "columns that filters may name"),
    "engines": ("允许的计算引擎", "engines allowed"),
    "parties": ("最少参与方", "minimum of parties"),
    "hours": ("时间段", "hours"),
    "per_day": ("每天次数", "rate per day"),
    "first_use": ("首次使用该函数", "first use of the function"),
    "uses_left": ("剩余次数", "uses left"),
    "decision": ("规则的决定", "the rule's own decision"),
})

# explain: what a job asks, as verified
ASKED: Mapping[str, Both] = MappingProxyType({
    "called": ("{name}（{id}）", "{name} ({id})"),
    "customer": ("企业：{who}", "customer: {who}"),
    "function": ("函数：{name}", "function: {name}"),
    "parameters": ("参数：{text}", "parameters: {text}"),
    "columns": ("涉及的列：{names}", "columns named: {names}"),
    "filter": ("筛选：{text}", "filter: {text}"),
    "no_filter": ("筛选：无，所有行都计入", "filter: none, every row counts"),
    "floor": ("披露下限：{floor}", "floor: {floor}"),
    "hospitals": ("医院：{number} 家（结果至少涉及 {fewest} 家）：{names}",
                  "hospitals: {number} (a result is of {fewest} at least): {names}"),
    "engine": ("计算引擎：{name}", "engine: {name}"),
    "dataset": ("本院数据集：{name}", "our dataset: {name}"),
    "grant": ("本院授权：{id}；按本节点台账还剩 {left} 次，共 {max_uses} 次；场景 {scenario}",
              "our grant: {id}; uses left by this node's book: {left} of {max_uses}, this job's among them; scenario "
              "{scenario}"),
    "deadline": ("期限：{at}", "deadline: {at}"),
    "waits": ("等人处理，至 {at}", "waits for a person until {at}"),
})

OUTCOMES: Mapping[str, Both] = MappingProxyType({
    "passed": ("通过", "passed"),
    "refused": ("不通过", "refused"),
    "held": ("待人处理", "held"),
    "not_reached": ("未核对", "not reached"),
    "accept": ("接受", "accept"),
    "refuse": ("拒绝", "refuse"),
    "hold": ("待人处理", "hold"),
    "release": ("人工放行", "released by hand"),
    "deny": ("人工拒绝", "denied by hand"),
})

WHO: Mapping[str, Both] = MappingProxyType({
    "custodian": ("本院数据官", "the custodian at this hospital"),
    "consumer": ("下单的企业", "the enterprise that ordered"),
    "regulator": ("卫生健康主管部门", "the regulator"),
    "operator": ("平台运营方", "the operator"),
})

# doctor: what is looked at, and what to do when it is not well
CHECKS: Mapping[str, Both] = MappingProxyType({
    "dns": ("域名解析", "name look-up"),
    "portal": ("门户连接与 TLS", "portal, connection and TLS"),
    "proxy": ("HTTP 代理", "HTTP proxy"),
    "relay": ("中继地址", "relay's address"),
    "clock": ("时钟", "clock"),
    "disk": ("磁盘空间", "disk space"),
    "keys": ("密钥文件权限", "permissions of key files"),
    "trust": ("信任文件", "trust file"),
    "chain": ("链节点", "chain endpoints"),
    "policy": ("策略", "policy"),
    "datasets": ("数据集指纹", "datasets' fingerprints"),
    "book": ("台账", "book"),
    "words": ("已签发的冻结名单", "words given on frozen sets"),
    "audit": ("本地记录", "local record"),
    "sandbox": ("计算进程的隔离", "worker's sandbox"),
    "worker": ("备用计算进程", "spare worker"),
    "switch": ("停止开关", "stop switch"),
})

MENDS: Mapping[str, Both] = MappingProxyType({
    "dns": ("检查 /etc/resolv.conf，或请网络管理员放行域名 {host}",
            "check /etc/resolv.conf, or ask the network's administrator for the name {host}"),
    "portal": ("请网络管理员放行到 {host} 的出站 HTTPS；检查 config.toml 的 portal 与 proxy",
               "ask for outbound HTTPS to {host}; check portal and proxy in config.toml"),
    "proxy": ("检查 config.toml 的 proxy；代理须允许 CONNECT。407：写好 proxy.password（用户名:密码，chmod 600）",
              "check proxy in config.toml; it must allow CONNECT. 407: put user:password into proxy.password "
              "(chmod 600)"),
    "relay": ("请网络管理员放行到 {host} 的 WebSocket（HTTP Upgrade）；不在门户主机上的中继写在 config.toml 的 relay",
              "ask for WebSockets (HTTP upgrade) to {host} to be let out; a relay on another host than the portal's is "
              "named in config.toml (relay)"),
    "clock": ("打开 NTP（timedatectl set-ntp true）；差半分钟门户就不认本院签名，差一分钟节点拒绝一切任务",
              "switch NTP on (timedatectl set-ntp true); half a minute off the portal takes no word of this node, a "
              "minute off the node refuses every job"),
    "disk": ("腾出空间：至少 {least} MB", "free some room: {least} MB at least"),
    "keys": ("归运行节点的用户所有，并且 chmod {mode} {file}",
             "owned by the user that runs the node, and chmod {mode} {file}"),
    "trust": ("重新执行 adopt-trust，指纹须从门户以外得到",
              "adopt-trust again, with a fingerprint that reached you outside the portal"),
    "chain": ("请运营方检查链节点；没有足够一致的节点时本节点拒绝任务",
              "ask the operator about the endpoints; without enough that agree the node refuses"),
    "policy": ("改正后用 policy --check 检查", "mend it, and check it with policy --check"),
    "datasets": ("恢复登记时的文件，或重新登记新版本：{file}",
                 "restore the file that was registered, or register the new version: {file}"),
    "datasets_away": ("连不上或读不到：文件就放回原处；数据库就检查 [source]、口令文件、网络和权限：{file}",
                      "it cannot be reached or read: a file is put back in its place; of a database check [source] in "
                      "config.toml, its passfile, the network and that user's rights: {file}"),
    "words": ("台账缺了本机构签发过的冻结名单，是旧的副本。换回最新的 node.sqlite3；若已丢失，请监管部门另设随机数服务",
              "the book lacks words that this office gave: it is an old copy. Put the newest node.sqlite3 back; if it "
              "is lost, the regulator must name another dealer"),
    "book": ("从备份恢复 node.sqlite3；没有台账的节点不能工作",
             "restore node.sqlite3 from a backup; a node without its book cannot work"),
    "audit": ("保存现场，查明谁改了 audit.jsonl，再把它移走",
              "keep it as it is, find out who changed audit.jsonl, then move it away"),
    "sandbox": ("升级到 Linux 6.7 以上并启用 Landlock；缺的保护：{missing}",
                "use Linux 6.7 or newer with Landlock; what is not prevented: {missing}"),
    "worker": ("看 worker 的日志；多半是内存上限（config.toml [worker] memory_mb）或安装不全",
               "look at the worker's log; mostly the memory limit ([worker] memory_mb) or an incomplete installation"),
    "switch": ("用 start 恢复", "start lets it work again"),
})


def say(table: Mapping[str, Both], key: str, language: str, **values: object) -> str:
    """The words for this key, or the key itself when nobody wrote any."""
    found = table.get(key)
    return (found[LANGUAGES.index(language)] if found else key).format(**values)
