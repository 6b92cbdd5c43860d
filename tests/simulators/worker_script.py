"""A worker that computes nothing: does what its first argument says with the order it gets, in the engine's words."""

import json
import os
import signal
import sys
import time

DEATHS = {"killed": signal.SIGKILL, "crashes": signal.SIGABRT}


def say(**event: object) -> None:
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


def contribute(order: object) -> None:
    """The one thing that is computed here: as `mpc.worker` does it, without its engine's long import."""
    from ledger.documents import to_b64
    from mpc import contributor, paillier
    from mpc.wire import Task, parse

    task = parse(json.dumps(order))
    assert isinstance(task, Task)
    question, parcel = contributor.make(task, check=lambda: None)
    say(event="gate_started")
    for line in sys.stdin:
        if json.loads(line).get("proceed"):
            break
    say(event="sealed", question=question.hash, ciphertexts=to_b64(parcel.ciphertexts), seed=to_b64(parcel.seed),
        engine=paillier.versions())


def main(mode: str) -> None:
    say(ready=True)
    if mode == "deaf":
        time.sleep(60)
    order = json.loads(sys.stdin.readline() or "null")
    if order is None:
        return
    if mode == "dies":
        return
    if mode in DEATHS:
        os.kill(os.getpid(), DEATHS[mode])
    if mode == "hungry":
        try:
            kept = [bytearray(1 << 24) for _ in range(1 << 12)]
        except MemoryError:
            say(event="failed", code="worker.out_of_memory", about_seat=None)
            return
        say(event="failed", code=f"session.deadline{len(kept)}", about_seat=None)
    if mode == "spins":
        while True:
            pass
    if mode == "litters":
        with open(os.path.join(os.environ["TMPDIR"], "rows.csv"), "w") as file:
            file.write("50,Male,0,no")
    if mode == "fails":
        say(event="failed", code="session.peer_lost", about_seat=1)
        return
    if mode == "eager":
        say(event="sealed", sealed="AAAA", gate_hash="00" * 32, engine={"crypten": "0"})
        return
    if mode == "contributes":
        contribute(order)
        return
    if mode != "deals":  # which goes on until it is told to stop
        say(event="gate_started")
    if mode == "gives_up":
        say(event="failed", code="session.peer_lost", about_seat=1)
        return
    for line in sys.stdin:
        if json.loads(line).get("proceed"):
            break
        if "stop" in json.loads(line):
            say(event="failed", code=json.loads(line)["stop"], about_seat=None)
            return
    if order["role"] == "dealer" and mode != "leaves":
        say(event="all_ready")
        sys.stdin.readline()
        say(event="finished", engine={})
    else:
        say(event="sealed", sealed="AAAA", gate_hash="00" * 32, engine={"crypten": "0"})


main(sys.argv[1])
