"""What a node cannot write into its own record it does not do: it accepts nothing and lets nothing out."""

from mpc.node import policyfile
from tests.simulators.node_at_work import Maker, Node


def break_the_record(one: Node) -> None:
    """Nobody can append to a folder, whoever one is."""
    one.agent.home.audit.path.unlink()
    one.agent.home.audit.path.mkdir()


def test_it_works(node: Maker) -> None:
    """One line a step, each before the step."""
    one = node()
    one.check()
    one.agent.handle(one.session())
    one.wait()
    assert len(one.door.documents("envelope")) == 1
    said = [event for event in one.audit if not event.startswith("policy")]
    assert said == ["verdict", "session.started", "session.sealed"]


def test_a_hash_in_the_record_says_which_rules_stood(node: Maker) -> None:
    """After any number of edits: the text of each policy that held is kept under its hash."""
    one = node()
    file = one.agent.config.policy
    texts = [file.read_text(), file.read_text() + "# another\n", file.read_text() + "surprise = 1\n", file.read_text()]
    for text in texts:
        file.write_text(text)
        one.agent.judging.policy()
    named = [line["facts"]["new"] for line in one.agent.home.audit.lines() if line["event"] == "policy.changed"]
    kept = {path.stem: path.read_bytes() for path in (file.parent / "policy.d").iterdir()}
    assert set(named) == set(kept) and len(named) == 3
    for name, text in kept.items():
        assert policyfile.load(text, key=one.agent.config.local_key()).hash == name


def test_rules_that_cannot_be_kept_allow_nothing(node: Maker) -> None:
    one = node()
    (one.agent.config.home / "policy.d").write_text("in the way")
    one.agent.handle(one.item)
    assert one.door.documents("verdict") == [] or one.door.documents("verdict")[-1]["code"] == "node.unrecorded"
    assert not one.agent.attempts


def test_no_job_is_accepted(node: Maker) -> None:
    one = node()
    one.agent.judging.policy()  # a policy that is new is on record already
    break_the_record(one)
    verdict = one.check()
    assert (verdict["decision"], verdict["code"], verdict["session"]) == ("refuse", "node.unrecorded", None)
    assert verdict["who_must_act"] == "custodian"
    assert not one.agent.attempts and one.agent.book.seen(job_hash=one.job_hash) is None


def test_nothing_leaves(node: Maker) -> None:
    one = node()
    one.check()
    break_the_record(one)
    one.agent.handle(one.session())
    one.wait()
    assert one.failure() == "node.unrecorded"
    assert one.door.documents("envelope") == [] and one.agent.book.outbox() == []


def test_a_flood_of_junk_is_counted(node: Maker) -> None:
    one = node()
    for number in range(1, 30):
        one.item["attempt"] = number
        one.item["consumer_signature"] = one.item["spec"]["signature"] = "00" * 64
        assert one.check()["decision"] == "refuse"
    assert one.audit.count("verdict") == 10
    one.agent.home.audit.settle(every=True)
    last = list(one.agent.home.audit.lines())[-1]
    assert (last["event"], last["facts"]["times"]) == ("verdict.repeated", 19)
