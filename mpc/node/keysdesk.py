"""What people of a home do about keys and holds: new keys, lost keys, vetoes; suspend a participant or a grant.

Like the desk's other acts they go through `ledger.acts`, which verifies what it signs. Holds and vetoes go to the chain
by our own transaction as well, so that no portal can hold them up. New keys lie beside the old ones until the chain
holds the record that names them.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ledger import acts
from ledger.abi import RawTx
from ledger.approval import grant_chain_id
from ledger.chain import Chain
from ledger.documents import canonical, document_hash, load_json
from ledger.errors import ChainUnavailable, VerificationError
from ledger.keys import EthKey, KeyFile
from ledger.membership import check_current
from ledger.participant import read_wire, record_chain_id, verify_wire
from ledger.schemas import VERSION
from mpc.node import config, inbox, reach
from mpc.node.desk import Answer, Desk
from mpc.node.errors import Unfit

PARTS = ("signing", "sealing", "service")


@contextmanager
def chain_of(desk: Desk) -> Iterator[Chain]:
    """The chain of the trust file, asked by ourselves."""
    with desk.chain() as chain:
        yield chain


def relay(desk: Desk, build: Callable[[Chain, EthKey], RawTx]) -> bool:
    """Our own transaction, from an account made for it: anyone may relay what is signed."""
    try:
        with chain_of(desk) as chain:
            chain.wait(chain.send_raw(build(chain, EthKey.create()).raw), seconds=10)
        return True
    except (ChainUnavailable, VerificationError):
        return False


# -- new keys

def _next_keys(desk: Desk) -> Path:
    return desk.config.home / "keys.next.json"


def _next_approver(desk: Desk) -> Path:
    return desk.config.home / "approver.next.json"


def _fresh(desk: Desk, parts: list[str], approver: bool) -> tuple[KeyFile, list[EthKey]]:
    """The next keys, made once; a second call finds them. With a new approver the one in control is the new one."""
    if not _next_keys(desk).exists():
        desk.keys.renewed(_next_keys(desk), [one for one in parts if one != "service" or desk.keys.service])
    if approver and not _next_approver(desk).exists():
        KeyFile.create(_next_approver(desk), participant=desk.config.participant, approval=True)
    keys = KeyFile.load(_next_keys(desk))
    person = KeyFile.load(_next_approver(desk)).approval if _next_approver(desk).exists() else None
    return keys, [person or desk.approver()]


def rotate(desk: Desk, *, parts: list[str], approver: bool, keep: bool) -> Answer:
    """Make new keys and offer the record that names them, under the old ones; the regulator admits it next.

    `keep`: the old approval key stays in the record after the new one, so that what it consented to goes on.
    """
    keys, approvers = _fresh(desk, parts, approver)
    if keep and approver:
        approvers.append(desk.approver())
    with chain_of(desk) as chain:
        wire = acts.rotate(desk.door, desk.roots, desk.keys, keys, holder=desk.approver(), approvers=approvers,
                           chain=chain)
    return {"participant": desk.config.participant, "number": wire["document"]["number"],
            "fingerprint": acts.fingerprint_of(wire)}


def lost(desk: Desk, *, former: Path, out: Path) -> Answer:
    """All keys are lost: a new record for the office to propose, to be handed over outside the portal."""
    wire = load_json(former.read_bytes())
    record = verify_wire(wire, desk.roots)
    if record["id"] != desk.config.participant:
        raise Unfit("config.other_participant", "the former record is another participant's")
    keys, approvers = _fresh(desk, list(PARTS), approver=True)
    made = acts.recover(record, desk.roots, keys, approvers=approvers)
    config.write_private(out, canonical(made).decode())
    return {"participant": record["id"], "record": str(out), "fingerprint": acts.fingerprint_of(made)}


def take_over(desk: Desk) -> Answer:
    """Use the new keys from now on, once the chain holds the record that names them; the old ones are put aside."""
    if not _next_keys(desk).exists():
        raise Unfit("config.no_rotation", "no new keys lie here: run rotate first")
    keys, _ = _fresh(desk, [], approver=False)
    door = reach.door_of(desk.config, keys)
    wire = door.get(f"/participants/{desk.config.participant}")["record"]
    record = verify_wire(wire, desk.roots)
    with chain_of(desk) as chain:
        check_current(record, chain)
    if record["keys"]["signing"] != keys.signing_public or record["keys"]["sealing"] != keys.sealing_public:
        raise Unfit("config.no_rotation", "the current record names other keys than the new ones here")
    aside = f"former-{record['number'] - 1}"
    _swap(desk.config.approver_keys, _next_approver(desk), aside)
    person = KeyFile.load(desk.config.approver_keys).approval
    config.save(replace(desk.config, service=keys.service.address if keys.service else "",
                        approver=person.address if person else desk.config.approver))
    _swap(desk.config.keys, _next_keys(desk), aside)  # last: whoever was interrupted says --finish again
    return {"participant": record["id"], "number": record["number"], "hash": document_hash(record),
            "restart": "restart the node, so that it uses the new keys"}


def _swap(old: Path, new: Path, aside: str) -> None:
    if new.exists():
        if old.exists():
            old.replace(old.with_name(f"{old.stem}.{aside}.json"))
        new.replace(old)


def propose(desk: Desk, file: Path, fingerprint: str) -> Answer:
    """The office proposes the record of a participant that lost its keys."""
    with chain_of(desk) as chain:
        made = acts.propose(desk.door, desk.keys, desk.roots, load_json(file.read_bytes()), fingerprint=fingerprint,
                            approver=desk.approver(), chain=chain)
    record = read_wire(made["record"])
    return {"participant": record["id"], "number": record["number"], "proposed": True}


def veto(desk: Desk, participant: str) -> Answer:
    """Say no to the record that the chain says is proposed: in our own place, or as the regulator."""
    with chain_of(desk) as chain:
        former = acts.participant_of(desk.door, desk.roots, participant or desk.config.participant, chain=chain)
        found = chain.participant_proposal(record_chain_id(former))
    if found is None:
        raise Unfit("participant.no_proposal", "the chain knows of no proposal for this participant")
    said = acts.veto(desk.door, desk.roots, former, found, approver=desk.approver())
    on_chain = relay(desk, lambda chain, sender: chain.sign_veto_participant(
        sender, 0, participant_id=record_chain_id(former), number=found.number, decider=said["veto"]["decider"],
        signature=said["veto"]["signature"]))
    return {"participant": former["id"], "portal": said["delivered"], "chain": on_chain or _gone(desk, former)}


def _gone(desk: Desk, record: Mapping[str, Any]) -> bool:
    """No proposal stands any more: the portal's transaction may have come before ours. Not to know is to say no."""
    try:
        with chain_of(desk) as chain:
            return chain.participant_proposal(record_chain_id(record)) is None
    except (ChainUnavailable, VerificationError):
        return False


def finish(desk: Desk, participant: str) -> Answer:
    """Have a proposed record put in place, once it can be vetoed no more."""
    answer = acts.finish(desk.door, participant)
    return {"participant": participant, "state": answer["state"]}


# -- holds

def suspend(desk: Desk, participant: str, *, suspended: bool, homes: Sequence[Path] = ()) -> Answer:
    """The regulator suspends a participant or restores it: by the portal, by our own transaction, and by file."""
    with chain_of(desk) as chain:
        done = acts.suspend_participant(desk.door, desk.keys, desk.roots, participant, suspended=suspended,
                                        approver=desk.approver(), chain=chain)
    said = done["suspension"]
    on_chain = relay(desk, lambda chain, sender: chain.sign_suspend_participant(
        sender, 0, participant_id=record_chain_id(done["record"]), suspended=suspended, number=said["number"],
        decider=said["decider"], signature=said["signature"]))
    handed = _hand_on(desk, "participant", participant, said, homes)
    return {"participant": participant, "suspended": suspended, "portal": done["delivered"], "chain": on_chain,
            "inboxes": handed}


def _hand_on(desk: Desk, about: str, subject: str, said: Mapping[str, Any], homes: Sequence[Path]) -> int:
    """By file, to ourselves and to whose homes were named (the dealer's, a node's): they keep it for ever."""
    hold = {"type": "hold", "version": VERSION, "about": about, "subject": subject, "suspension": dict(said)}
    return len([inbox.drop(home / "inbox", hold) for home in (desk.config.home, *homes)])


def suspend_grant(desk: Desk, grant: str, *, suspended: bool, homes: Sequence[Path] = ()) -> Answer:
    """Hold a grant, or let go of it, as the regulator or as its custodian."""
    with chain_of(desk) as chain:
        done = acts.suspend_grant(desk.door, desk.roots, grant, approver=desk.approver(), suspended=suspended,
                                  chain=chain)
    said = done["suspension"]
    on_chain = relay(desk, lambda chain, sender: chain.sign_suspend_grant(
        sender, 0, grant_id=grant_chain_id(done["terms"]), suspended=suspended, number=said["number"],
        decider=said["decider"], signature=said["signature"]))
    return {"grant": grant, "suspended": suspended, "portal": done["delivered"], "chain": on_chain,
            "inboxes": _hand_on(desk, "grant", grant, said, homes)}


def cancel(desk: Desk, grant: str) -> Answer:
    """Take back our own approval or consent, which nobody registered yet."""
    done = acts.cancel_approval(desk.door, desk.roots, grant, approver=desk.approver())
    said = done["cancellation"]
    on_chain = relay(desk, lambda chain, sender: chain.sign_cancel(
        sender, 0, grant_id=grant_chain_id(done["terms"]), approval_nonce=said["nonce"], decider=said["decider"],
        signature=said["signature"]))
    return {"grant": grant, "cancelled": True, "chain": on_chain}


# -- command line

def _rotate(desk: Desk, given: Namespace) -> Answer:
    if given.finish:
        return take_over(desk)
    if given.lost:
        if given.former is None or given.out is None:
            raise Unfit("config.missing", "--lost needs --former (the record until now) and --out")
        return lost(desk, former=given.former, out=given.out)
    return rotate(desk, parts=given.part or ["signing", "sealing"], approver=given.approver, keep=given.keep)


COMMANDS: dict[str, tuple[str, Callable[[Desk, Namespace], Any]]] = {
    "rotate": ("make new keys and offer their record; --finish to use them", _rotate),
    "veto": ("say no to a record proposed for lost keys", lambda desk, a: veto(desk, a.participant)),
    "propose-record": ("propose the record of who lost its keys (regulator)",
                       lambda desk, a: propose(desk, a.file, a.fingerprint)),
    "finish-record": ("put a proposed record in place after its delay", lambda desk, a: finish(desk, a.participant)),
    "suspend": ("suspend a participant (regulator)",
                lambda desk, a: suspend(desk, a.participant, suspended=True, homes=a.to)),
    "restore": ("let a suspended participant act again (regulator)",
                lambda desk, a: suspend(desk, a.participant, suspended=False, homes=a.to)),
    "suspend-grant": ("hold a grant", lambda desk, a: suspend_grant(desk, a.grant, suspended=True, homes=a.to)),
    "resume-grant": ("let go of a grant that we held",
                     lambda desk, a: suspend_grant(desk, a.grant, suspended=False, homes=a.to)),
    "cancel-approval": ("take back our approval or consent before it is registered",
                        lambda desk, a: cancel(desk, a.grant)),
}


def add_arguments(made: Mapping[str, ArgumentParser]) -> None:
    """The options of the commands above."""
    made["rotate"].add_argument("--part", action="append", choices=PARTS, help="default: signing and sealing")
    made["rotate"].add_argument("--approver", action="store_true", help="a new approval key too")
    made["rotate"].add_argument("--keep", action="store_true", help="the old approval key stays in the record")
    made["rotate"].add_argument("--finish", action="store_true", help="the chain holds the record: use the new keys")
    made["rotate"].add_argument("--lost", action="store_true", help="the old keys are lost: a record for the office")
    made["rotate"].add_argument("--former", type=Path, help="with --lost: the record until now, as on the wire")
    made["rotate"].add_argument("--out", type=Path, help="with --lost: where the new record is written")
    made["veto"].add_argument("--participant", default="", help="another than ourselves (regulator)")
    made["propose-record"].add_argument("file", type=Path)
    made["propose-record"].add_argument("--fingerprint", required=True)
    for name in ("finish-record", "suspend", "restore"):
        made[name].add_argument("participant")
    for name in ("suspend-grant", "resume-grant", "cancel-approval"):
        made[name].add_argument("grant")
    for name in ("suspend", "restore", "suspend-grant", "resume-grant"):
        made[name].add_argument("--to", type=Path, action="append", default=[], metavar="HOME",
                                help="also hand it to this node's or dealer's home, which keeps it")
