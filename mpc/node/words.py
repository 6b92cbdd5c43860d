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
    "deny_not_begun": ("本节点没有在做这个任务，也不会开始",
                       "nothing of it is under way here, and nothing will begin"),
    "deny_aborted": ("已中止；没有任何内容离开本院", "aborted; nothing of it has left this house"),
    "deny_withdrawn": ("封好的结果已从待发中撤下；据本节点所知，平台还没有收到",
                       "its sealed part was taken out of the outbox before the portal had it, as far as this node "
                       "knows"),
    "deny_ending": ("还没有结束；封好的结果不再发出，稍后用 explain 再看",
                    "it has not ended yet; nothing sealed is let out any more; look again with explain"),
    "deny_overdue": ("封好的结果到期仍未发出，已作废；没有任何内容离开本院",
                     "its sealed part was never sent: its time was over, and it was struck off; nothing of it has left "
                     "this house"),
    "may_have_left": ("{job} 的本院结果已向平台发送，平台是否收到还不知道：可能已经发出",
                      "sealed part of {job} was offered to the portal, and whether it arrived is not known: it may "
                      "have left"),
    "explain_later": ("不再重发；稍后用 explain 再看", "it is not sent again; look again with explain"),
    "too_late": ("来不及了：{job} 的本院结果已于 {at} 发出",
                 "too late: this hospital's sealed part of {job} left at {at}"),
    "too_late_unknown": ("来不及了：{job} 已经做完，本院结果不在待发之中；何时发出没有记下",
                         "too late: {job} is over, and this hospital's sealed part is not in the outbox any more; when "
                         "it left is not known"),
    "left_at": ("{job} 的本院结果已于 {at} 发出", "sealed part of {job} left at {at}"),
    # the same of the dealer's office, which seals nothing
    "office_deny_aborted": ("已中止；本机构不再为它提供随机数", "aborted; this office deals nothing more for it"),
    "office_deny_withdrawn": ("已签发的冻结名单停在待发中，不再发出；据本节点所知，平台还没有收到",
                              "this office's word on its frozen set stays in the outbox and is not let out; as far as "
                              "this node knows the portal has not had it"),
    "office_deny_ending": ("还没有结束；本机构不再发出任何内容，稍后用 explain 再看",
                           "it has not ended yet; this office lets nothing of it out any more; look again with "
                           "explain"),
    "office_deny_overdue": ("已签发的冻结名单到期仍未发出，已作废",
                            "this office's word on its frozen set was never sent: its time was over, and it was struck "
                            "off"),
    "office_may_have_left": ("{job} 的冻结名单已向平台发送，平台是否收到还不知道：可能已经发出",
                             "this office's word on the frozen set of {job} was offered to the portal, and whether it "
                             "arrived is not known: it may have left"),
    "office_too_late": ("来不及了：{job} 的冻结名单已于 {at} 发出",
                        "too late: this office's word on the frozen set of {job} left at {at}"),
    "office_too_late_unknown": ("来不及了：本机构对 {job} 的部分已经做完；何时发出没有记下",
                                "too late: this office's part in {job} is done; when it left is not known"),
    "office_left_at": ("{job} 的冻结名单已于 {at} 发出", "this office's word on the frozen set of {job} left at {at}"),
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
    "stopped": ("已停止：新的任务一律拒绝，直到 start", "stopped: new jobs are refused until start"),
    "none_left": ("正在运行 0 个（刚刚中止 {ended} 个）", "0 running (ended now: {ended})"),
    "still_ending": ("还有 {left} 个正在结束（刚刚中止 {ended} 个）；封好的结果不再发出，稍后用 status 再看",
                     "{left} still ending (ended now: {ended}); nothing sealed is let out any more; look again with "
                     "status"),
    "ended_by_force": (
        "台账写不进去（磁盘满？），停止没有记下：节点已被结束，任务随之中止；腾出空间后再执行 stop，否则启动后照常运行",
        "the book cannot be written (a full disk?), so the stop is not kept: the node itself was ended, and its jobs "
        "with it; free some room and stop again, or it works again when it is started"),
    "not_ended": (
        "台账写不进去，节点进程也没有结束：请结束服务（systemctl stop xinglin-node）",
        "the book cannot be written, and the node did not end: end the service (systemctl stop xinglin-node)"),
    "started": ("已恢复：从现在起照常核对任务", "started: jobs are judged again from now on"),
    "audit_holds": ("记录完好：{lines} 行", "the record holds; lines: {lines}"),
    "newest": ("最新 {shown} 行，共 {lines} 行；用 --last、--since、--job 看其他",
               "the newest {shown} of {lines} lines; more with --last, --since or --job"),
    "bad_since": ("--since 要写日期，如 2026-11-22 或 2026-11-22T08:00:00Z：{given}",
                  "--since takes a day or a moment, 2026-11-22 or 2026-11-22T08:00:00Z: {given}"),
    "bad_last": ("--last 至少为 1", "--last is 1 at least"),
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
              "our grant: {id}; uses left by this node's book: {left} of {max_uses}; scenario {scenario}"),
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
    "portal": ("平台连接与 TLS", "portal, connection and TLS"),
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

# doctor: what it found; names, figures and codes are said as they are ("is"), a code without words here stands alone
FOUND: Mapping[str, Both] = MappingProxyType({
    "is": ("{text}", "{text}"),
    "trouble": ("{code}", "{code}: {text}"),
    "not_checked": ("未检查：先处理“{first}”，再运行 doctor",
                    "not checked: mend “{first}” first, then run doctor again"),
    "unread": ("{file}：没有、损坏或不许读", "{file}: missing, damaged or not to be read"),
    "unread_book": ("node.sqlite3 损坏或不能读", "node.sqlite3 is damaged or cannot be read ({text})"),
    "stopped": ("{at} 由 {by} 停止", "stopped {at} by {by}"),
    "not_stopped": ("没有停", "not stopped"),
    "no_proxy": ("config.toml 没有写代理", "config.toml names none"),
    "proxy_says": ("代理 {place} 回答 {status}", "the proxy {place} answers {status}"),
    "no_way_to": ("连不上 {place}（{code}）", "no connection to {place} ({code})"),
    "no_address": ("{host}：查不到地址", "{host}: {text}"),
    "certificate": ("证书不被接受（OpenSSL {code}）", "the certificate is not accepted: {text} (OpenSSL {code})"),
    "cut": ("{place} 连得上，但没有回答（{code}）", "{place} can be reached and does not answer ({code})"),
    "portal_answers": ("回答 {status}，TLS，{seconds} 秒", "{status}, TLS, {seconds} s"),
    "portal_answers_openly": ("回答 {status}，没有 TLS（只可用于单机），{seconds} 秒",
                              "{status}, no TLS: for one machine alone, {seconds} s"),
    "no_time": ("平台没有说时间", "the portal tells no time"),
    "relay_later": ("任务开始时由平台给出", "the portal names it when a job starts"),
    "no_relay": ("{places}：没有中继按约定回答", "no relay answers as one does: {text}"),
    "policy_fault": ("policy.toml 第 {line} 行不能读，节点拒绝一切任务", "{text}"),
    "policy_zone": ("policy.toml 第 {line} 行的 {name} 要有时区：在所有规则之前写 zone = \"Asia/Shanghai\" 或 \"UTC\"；"
                    "没有时区，节点拒绝一切任务", "{text}"),
    "policy_unread": ("policy.toml 不能读，节点拒绝一切任务", "{text}"),
    "trust.fingerprint": ("信任文件的根密钥与固定的指纹不符", "trust.fingerprint: {text}"),
    "chain.unavailable": ("链节点连不上（chain.unavailable）", "chain.unavailable: {text}"),
    "chain.disagree": ("链节点的回答不一致（chain.disagree）", "chain.disagree: {text}"),
    "chain.stale_head": ("链的最新区块太旧（chain.stale_head）", "chain.stale_head: {text}"),
    "audit.broken": ("audit.jsonl 前后接不上；audit --verify 指出哪一行", "audit.broken: {text}"),
})

MENDS: Mapping[str, Both] = MappingProxyType({
    "dns": ("检查 /etc/resolv.conf，或请网络管理员放行域名 {host}",
            "check /etc/resolv.conf, or ask the network's administrator for the name {host}"),
    "portal": ("检查 config.toml 的 portal 与 proxy", "check portal and proxy in config.toml"),
    "portal_closed": (
        "请网络管理员放行本机到 {host} 端口 {port} 的出站 TCP；只能经代理出去的，在 config.toml 写 proxy",
        "ask the network's administrator to let this machine out to {host}, TCP port {port}; where only a proxy leads "
        "out, name it in config.toml (proxy)"),
    "portal_cut": (
        "请网络管理员查明是否有设备切断或拆开到 {host} 端口 {port} 的 TLS；网络没有问题，再请运营方检查平台",
        "ask the network's administrator whether something cuts or opens TLS to {host}, port {port}; if nothing does, "
        "ask the operator about the portal"),
    "portal_authority": (
        "签发证书的机构本机不认识。医院的代理拆开 TLS 的，向网络管理员要它的根证书，放进本机证书库（Debian、Ubuntu："
        "/usr/local/share/ca-certificates/ 下的 .crt 文件，再执行 update-ca-certificates；RHEL、openEuler："
        "/etc/pki/ca-trust/source/anchors/，再执行 update-ca-trust），重启节点。"
        "没有这种代理就不要信它，请运营方检查平台的证书",
        "this machine does not know who signed the certificate. If the hospital's proxy opens TLS, get its root from "
        "the network's administrator and put its authority into this machine's store (Debian, Ubuntu: a .crt file in "
        "/usr/local/share/ca-certificates/, then update-ca-certificates; RHEL, openEuler: "
        "/etc/pki/ca-trust/source/anchors/, then update-ca-trust), and restart the node. Without such a proxy do not "
        "trust it: ask the operator about the portal's certificate"),
    "portal_expired": (
        "先核对本机时间；时间没有错，就请运营方更换 {host} 的证书（代理拆开 TLS 的，请网络管理员更换）："
        "已过期或尚未生效",
        "look at this machine's clock first; if it is right, {host} shows a certificate that is over or not yet valid: "
        "the operator must replace it (the network's administrator, where a proxy opens TLS)"),
    "portal_name": (
        "证书不是给 {host} 的：核对 config.toml 的 portal；没有写错，就问网络管理员是谁在回答，"
        "再请运营方检查平台的证书",
        "the certificate is not for {host}: check portal in config.toml; if it is right, ask the network's "
        "administrator who answers there, then the operator about the portal's certificate"),
    "portal_certificate": ("请运营方更换 {host} 的证书（代理拆开 TLS 的，请网络管理员更换）",
                           "the operator must replace the certificate of {host} (the network's administrator, where a "
                           "proxy opens TLS)"),
    "portal_ill": ("网络是通的，平台自己有故障：请运营方处理，然后再运行 doctor；本机不用改",
                   "the way is open and the portal itself is ill: the operator must act, then run doctor again; "
                   "nothing is to be changed here"),
    "portal_other": ("{host} 端口 {port} 回答的不是平台：检查 config.toml 的 portal；"
                     "没有写错，就问网络管理员是谁在回答",
                     "what answers at {host}, port {port} is not the portal: check portal in config.toml; if it is "
                     "right, ask the network's administrator who answers there"),
    "portal_plain": ("config.toml 的 portal 必须以 https:// 开头", "portal in config.toml must begin with https://"),
    "proxy": ("检查 config.toml 的 proxy；请网络管理员确认代理 {place} 开着，并允许本机使用",
              "check proxy in config.toml; ask the network's administrator whether the proxy {place} runs and serves "
              "this machine"),
    "proxy_password": ("代理要口令（407）：在 config.toml 写 proxy，把 用户名:密码 写进 {file}（chmod 600）；"
                       "只会 Basic",
                       "the proxy asks for a password (407): name proxy in config.toml and put user:password into "
                       "{file} (chmod 600); Basic alone is spoken"),
    "proxy_refuses": ("请网络管理员让代理允许 CONNECT 到 {host} 端口 {port}",
                      "ask the network's administrator to let CONNECT to {host}, port {port} through the proxy"),
    "relay": ("请网络管理员放行到 {host} 的 WebSocket（HTTP Upgrade）；不在平台主机上的中继写在 config.toml 的 relay",
              "ask for WebSockets (HTTP upgrade) to {host} to be let out; a relay on another host than the portal's is "
              "named in config.toml (relay)"),
    "clock": ("打开 NTP（timedatectl set-ntp true）；差半分钟平台就不认本院签名，差一分钟节点拒绝一切任务",
              "switch NTP on (timedatectl set-ntp true); half a minute off the portal takes no word of this node, a "
              "minute off the node refuses every job"),
    "disk": ("腾出空间：至少 {least} MB", "free some room: {least} MB at least"),
    "keys": ("归运行节点的用户所有，并且 chmod {mode} {file}",
             "owned by the user that runs the node, and chmod {mode} {file}"),
    "keys_lost": ("从备份恢复 {file}（归运行节点的用户，chmod 600），再运行 doctor；"
                  "没有备份，按 docs/how-to/keys.md 更换密钥",
                  "restore {file} from the backup (owned by the user that runs the node, chmod 600), then run doctor "
                  "again; without a backup change the keys: docs/how-to/keys.md"),
    "local_key_lost": ("从备份恢复 {file}（归运行节点的用户，chmod 600），再运行 doctor；"
                       "没有它，已登记的数据集都对不上指纹",
                       "restore {file} from the backup (owned by the user that runs the node, chmod 600), then run "
                       "doctor again; without it no registered dataset has its fingerprint"),
    "trust": ("从备份恢复 {file}，或重新执行 adopt-trust，指纹须从平台以外得到；再运行 doctor",
              "restore {file} from the backup, or adopt-trust again with a fingerprint that reached you outside the "
              "portal; then run doctor again"),
    "chain": ("请运营方检查链节点；没有足够一致的节点时本节点拒绝任务",
              "ask the operator about the endpoints; without enough that agree the node refuses"),
    "policy": ("改正 {file}，或从备份恢复；用 policy --check 检查",
               "mend {file} or restore it from the backup; check it with policy --check"),
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
