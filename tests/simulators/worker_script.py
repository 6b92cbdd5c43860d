"""A worker that computes nothing: does what its first argument says with the order it gets, in the engine's words."""

import json
import socket
import sys
import time


def say(**event: object) -> None:
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


def main(mode: str) -> None:
    say(ready=True)
    if mode == "deaf":
        time.sleep(60)
    order = json.loads(sys.stdin.readline() or "null")
    if order is None:
        return
    socket.socket(fileno=order["listen_fd"]).getsockname()
    if mode == "dies":
        return
    if mode == "fails":
        say(event="failed", code="session.peer_lost", about_seat=1)
        return
    if mode == "eager":
        say(event="sealed", sealed="AAAA", gate_hash="00" * 32, engine={"crypten": "0"})
        return
    say(event="gate_started")
    for line in sys.stdin:
        if json.loads(line).get("proceed"):
            break
        if "stop" in json.loads(line):
            say(event="failed", code=json.loads(line)["stop"], about_seat=None)
            return
    if order["role"] == "dealer":
        say(event="finished", engine={})
    else:
        say(event="sealed", sealed="AAAA", gate_hash="00" * 32, engine={"crypten": "0"})


main(sys.argv[1])
