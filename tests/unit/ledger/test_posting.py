"""The smallest HTTP client: every honest form of an answer is read, and nothing else passes for one."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ledger import posting
from ledger.posting import FAILURES, Poster, PostFailed

LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"


@contextmanager
def server(*answers: bytes | list[bytes]) -> Iterator[tuple[str, list[bytes]]]:
    """One connection for each answer; a list is answers over one connection. What was sent is kept."""
    listener = socket.create_server(("127.0.0.1", 0))
    got: list[bytes] = []

    def serve() -> None:
        for answer in answers:
            connection, _ = listener.accept()
            with connection, connection.makefile("rb") as file:
                for one in answer if isinstance(answer, list) else [answer]:
                    head = b""
                    while not head.endswith(b"\r\n\r\n"):
                        line = file.readline()
                        if not line:
                            return
                        head += line
                    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                    got.append(head + file.read(length))
                    connection.sendall(one)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", got
    finally:
        listener.close()


@pytest.mark.parametrize("answer", [
    LENGTH + b"ok", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1;x=y\r\nk\r\n0\r\n\r\n",
    b"HTTP/1.0 200 OK\r\n\r\nok", b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok",
    b"HTTP/1.1 100 Continue\r\n\r\n" + LENGTH + b"ok"])  # fmt: skip
def test_it_works(answer: bytes) -> None:
    with server(answer) as (url, got):
        assert Poster(2).post(url + "/key?x=1", b"{}") == (200, b"ok")
        assert got[0].startswith(b"POST /key?x=1 HTTP/1.1\r\nHost: 127.0.0.1")
        assert got[0].endswith(b"\r\n\r\n{}")


@pytest.mark.parametrize("answer", [
    b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", b"HTTP/1.1 200 OK\r\nContent-Length",
    b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200 + b"\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nok"])  # fmt: skip
def test_what_is_no_answer_is_none(answer: bytes) -> None:
    with server(answer) as (url, _), pytest.raises(FAILURES):
        Poster(1).post(url, b"{}")


def test_a_connection_is_kept_and_one_that_was_closed_is_replaced() -> None:
    with server([LENGTH + b"a1", LENGTH + b"a2"], LENGTH + b"b1") as (url, got):
        poster = Poster(2)
        assert [poster.post(url, b"{}")[1] for _ in range(3)] == [b"a1", b"a2", b"b1"]
        assert len(got) == 3
        poster.close()


def test_a_second_answer_to_one_question_is_not_the_answer_to_the_next() -> None:
    with server(LENGTH + b"a1" + LENGTH + b"xx", LENGTH + b"b1") as (url, _):
        poster = Poster(2)
        assert [poster.post(url, b"{}")[1] for _ in range(2)] == [b"a1", b"b1"]


def test_a_secret_of_the_address_is_sent_as_a_header_and_nothing_else_is_smuggled() -> None:
    with server(LENGTH + b"ok") as (url, got):
        Poster(2).post(url.replace("http://", "http://me:pa%40ss@"), b"{}")
        assert b"\r\nAuthorization: Basic bWU6cGFAc3M=\r\n" in got[0]
        assert b"me:" not in got[0]
    for wrong in ("ftp://a/", "http://", "nothing"):
        with pytest.raises(PostFailed):
            Poster(1).post(wrong, b"{}")


def test_a_proxy_is_asked_for_a_tunnel_and_nothing_else_is_dialled() -> None:
    heads = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as file:
            for answer in (b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n", LENGTH + b"a1", LENGTH + b"a2"):
                head = b"".join(iter(file.readline, b"\r\n"))
                heads.append(head)
                file.read(2 if head.startswith(b"POST") else 0)
                connection.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    asked: list[str] = []

    def proxy(url: str) -> str:
        asked.append(url)
        return f"http://me:pa%40ss@127.0.0.1:{listener.getsockname()[1]}"

    poster = Poster(5, proxy=proxy)
    assert [poster.post("http://rpc.nowhere.example:81/key", b"{}")[1] for _ in range(2)] == [b"a1", b"a2"]
    poster.close()
    listener.close()
    assert asked == ["http://rpc.nowhere.example:81/key"]
    assert heads[0] == (b"CONNECT rpc.nowhere.example:81 HTTP/1.1\r\nHost: rpc.nowhere.example:81\r\n"
                        b"Proxy-Authorization: Basic bWU6cGFAc3M=\r\n")
    assert all(b"Proxy-" not in head and head.startswith(b"POST /key ") for head in heads[1:])


@pytest.mark.parametrize("answer", [b"HTTP/1.1 407 Who are you\r\n\r\n", b"HTTP/1.1 302 There\r\nLocation: http://x/\r\n\r\n",
                                    b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 3000])  # fmt: skip
def test_a_proxy_that_gives_no_tunnel(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        at = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(FAILURES):
            Poster(5, proxy=lambda _: at).post("http://rpc.nowhere.example/", b"{}")
        thread.join(10)
    with pytest.raises(PostFailed):
        Poster(1, proxy=lambda _: "socks5://127.0.0.1:1").post("http://rpc.nowhere.example/", b"{}")


def test_an_endless_answer_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posting, "LARGEST_ANSWER", 1000)
    with server(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 5000) as (url, _), pytest.raises(FAILURES):
        Poster(1).post(url, b"{}")
