"""The window: whatever is lost, repeated or reordered on the way, the same bytes arrive in order, or it says so."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.errors import MpcError, ProtocolBroken, Tampered
from mpc.transport.window import ACK, DATA, FRAME, GONE, HEAD, HELLO, MARK, REWIND, Frame, Window


class End:
    """One end: its window, what it wants to send, what it was given."""

    def __init__(self, texts: list[bytes], window: int) -> None:
        self.window = Window(1, window=window)
        self.texts, self.put, self.got = texts, 0, b""

    def frames(self) -> list[bytes]:
        """All that it sends now."""
        found = []
        while True:
            frame = self.window.next()
            if frame is None and self.window.room and self.put < len(self.texts):
                self.window.put(self.texts[self.put])
                self.put += 1
                continue
            if frame is None:
                return found
            found.append(frame)

    def take(self, data: bytes) -> None:
        delivered = self.window.take(Frame.read(data))
        self.got += bytes(delivered) if delivered is not None else b""


TEXTS = st.lists(st.binary(min_size=1, max_size=40), max_size=40)
CALM = settings(max_examples=150, deadline=None)


@CALM
@given(data=st.data(), left=TEXTS, right=TEXTS, window=st.integers(1, 200))
def test_what_is_lost_repeated_or_reordered_arrives_once_and_in_order(
        data: st.DataObject, left: list[bytes], right: list[bytes], window: int) -> None:
    ends = [End(left, window), End(right, window)]
    fates = st.lists(st.integers(0, 9), min_size=1, max_size=30)

    def exchange(fate: list[int] | None) -> None:
        for source, target in ((0, 1), (1, 0)):
            frames = ends[source].frames()
            if fate is not None:
                frames = [frame for number, frame in enumerate(frames) for _ in range(
                    {0: 0, 1: 0, 2: 2}.get(fate[number % len(fate)], 1))]
                if fate[0] % 3 == 0:
                    frames = frames[::-1]
            for frame in frames:
                ends[target].take(frame)
                assert b"".join(ends[source].texts).startswith(ends[target].got)

    try:
        for _ in range(data.draw(st.integers(0, 12))):
            if data.draw(st.integers(0, 3)) == 0:
                for end in ends:
                    end.window.hello()
            exchange(data.draw(fates))
    except Tampered:
        return  # enough in vain: it says so
    for _ in range(400):
        for end in ends:
            end.window.pulse()
        exchange(None)
        if all(end.window.settled and end.put == len(end.texts) for end in ends):
            break
    assert (ends[0].got, ends[1].got) == (b"".join(right), b"".join(left))


@CALM
@given(st.lists(st.tuples(st.sampled_from([0, DATA, ACK, HELLO, REWIND, GONE, MARK, 9]), st.integers(0, 5),
                          st.integers(0, 5), st.binary(max_size=5)), max_size=60))
def test_no_frame_at_all_brings_it_to_a_state_without_a_name(frames: list[tuple[int, int, int, bytes]]) -> None:
    end = End([b"a", b"b", b"c"], 100)
    end.frames()
    for type, number, acknowledged, payload in frames:
        try:
            end.take(HEAD.pack(1, type, number, acknowledged) + payload)
        except MpcError as error:
            assert error.code in ("relay.tampered", "session.protocol")
            return
        end.frames()
        assert 0 <= end.window.inflight <= 3


def test_nothing_more_is_taken_than_the_window_allows() -> None:
    end = End([bytes(10)] * 100, 50)
    assert sum(len(frame) - HEAD.size for frame in end.frames()) == 50
    end.take(HEAD.pack(1, ACK, 0, 2))
    assert sum(len(frame) - HEAD.size for frame in end.frames()) == 20


def test_a_last_frame_that_is_lost_is_asked_for_by_the_next_sign_of_life() -> None:
    left, right = End([b"last"], 100), End([], 100)
    left.frames()
    left.window.pulse()
    for _ in range(3):  # the request, the mark, the frame
        for source, target in ((left, right), (right, left)):
            for frame in source.frames():
                target.take(frame)
    assert right.got == b"last"


def test_drops_before_a_slow_reader_pile_up_no_second_window() -> None:
    """Ten connections break while the other end reads nothing, though it gives signs of life: what the relay holds for
    it meanwhile is what one window holds, and afterwards everything arrives."""
    left, right = End([bytes([number]) * 10 for number in range(100)], 200), End([], 200)
    left.window.hello()
    right.window.hello()
    for _ in range(3):
        for source, target in ((left, right), (right, left)):
            for frame in source.frames():
                target.take(frame)
    waiting = left.frames()  # from here on they stay at the relay
    for _ in range(10):
        left.window.hello()
        for _ in range(5):
            right.window.pulse()
            for frame in right.frames():
                left.take(frame)
            left.window.pulse()
            waiting += left.frames()
    assert sum(len(frame) - HEAD.size for frame in waiting) <= 200
    for frame in waiting:
        right.take(frame)
    for _ in range(40):
        for source, target in ((right, left), (left, right)):
            for frame in source.frames():
                target.take(frame)
    assert right.got == b"".join(left.texts)


@pytest.mark.parametrize("again", [0, 5])
def test_a_frame_lost_before_a_slow_reader_is_sent_again_once(again: int) -> None:
    """The relay drops a frame in the middle of a window (and the same one `again` times more); the reader takes three
    frames while a sign of life is given: what waits for it never passes two windows, and everything arrives."""
    texts, lost, dropped = [bytes([number % 251]) * 10 for number in range(400)], 20, 0
    left, right = End(texts, 1000), End([], 1000)
    waiting: list[bytes] = []
    for _ in range(2000):
        left.window.pulse()
        for frame in left.frames():
            number = Frame.read(frame).number
            if frame[1] == DATA and number == lost and dropped <= again:
                dropped += 1
            else:
                waiting.append(frame)
        assert sum(len(frame) - HEAD.size for frame in waiting) <= 2000
        assert sum(frame[1] != DATA for frame in waiting) <= 400
        taken, waiting = waiting[:3], waiting[3:]
        for frame in taken:
            right.take(frame)
        right.window.pulse()
        for frame in right.frames():
            left.take(frame)
        if right.got == b"".join(texts):
            break
    assert right.got == b"".join(texts) and dropped == again + 1


@pytest.mark.parametrize("lost", [MARK, REWIND])
def test_a_mark_or_its_answer_that_is_lost_is_said_again(lost: int) -> None:
    left, right = End([bytes([number]) for number in range(40)], 20), End([], 20)
    losses = [(DATA, 0), (lost, 0), (lost, 0), (DATA, 0), (lost, 0)]
    for _ in range(200):
        for source, target in ((left, right), (right, left)):
            source.window.pulse()
            for frame in source.frames():
                if losses and frame[1] == losses[0][0]:
                    losses.pop(0)
                else:
                    target.take(frame)
    assert right.got == b"".join(left.texts) and not losses


def test_of_each_kind_of_control_frame_only_the_newest_waits() -> None:
    """However much a peer asks while nothing can be written, five answers are kept at most."""
    end = End([b"a", b"b"], 100)
    for number in range(1, 10_000):
        end.take(HEAD.pack(1, HELLO, number, 0))
        end.take(HEAD.pack(1, MARK, number, 0))
        end.take(HEAD.pack(1, ACK, number, 0))
        end.window.pulse()
    assert len(end.window.control) <= 5
    assert [Frame.read(frame).number for frame in end.frames() if frame[1] == REWIND] == [0]


def test_a_hello_that_was_lost_is_said_again_and_heard_once() -> None:
    left, right = End([b"a", b"b"], 100), End([], 100)
    left.window.hello()
    assert [frame[1] for frame in left.frames()] == [HELLO]  # lost, and no data before its answer
    left.window.pulse()
    left.window.pulse()
    for frame in left.frames():
        right.take(frame)
    answers = right.frames()
    assert [frame[1] for frame in answers] == [REWIND]
    sent = []
    for frame in answers * 2:
        left.take(frame)
        sent += left.frames()
    assert [frame[1] for frame in sent] == [DATA, DATA]  # the second answer to one hello sends nothing again


def test_to_acknowledge_what_was_never_sent_is_a_lie() -> None:
    end = End([b"a"], 100)
    end.frames()
    with pytest.raises(Tampered):
        end.take(HEAD.pack(1, ACK, 0, 2))


def test_frames_that_never_arrive_are_named() -> None:
    left, right = End([b"a"], 100), End([], 100)
    with pytest.raises(Tampered):
        for _ in range(100):
            left.window.pulse()
            for frame in left.frames():
                if frame[1] != DATA:
                    right.take(frame)
            for frame in right.frames():
                left.take(frame)


def test_an_acknowledgement_forged_by_the_relay_is_found_out() -> None:
    left, right = End([b"a", b"b"], 100), End([], 100)
    left.frames()
    left.take(HEAD.pack(1, ACK, 0, 2))  # the other end never said so: the bytes are forgotten here
    with pytest.raises(Tampered):
        for _ in range(100):
            left.window.pulse()
            for frame in left.frames():
                right.take(frame)
            for frame in right.frames():
                left.take(frame)


@pytest.mark.parametrize("frame", [b"", bytes(HEAD.size - 1), HEAD.pack(1, 77, 0, 0),
                                   HEAD.pack(1, DATA, 0, 0) + bytes(FRAME + 1)])
def test_what_is_no_frame_is_refused(frame: bytes) -> None:
    with pytest.raises((ProtocolBroken, Tampered)):
        End([], 100).take(frame)
