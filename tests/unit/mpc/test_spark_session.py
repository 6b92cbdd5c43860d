"""Which cluster is asked, and what an error may say: against a client that keeps its first session, as Spark's does."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from mpc import hosts
from mpc.errors import MpcError
from mpc.sources import spark


class Builder:
    """Spark Connect's: an existing session is given whatever place is asked for, but for `create`."""

    default: "Session | None" = None
    place = ""

    options: list[tuple[str, str]]

    def channelBuilder(self, channel: tuple[str, list[tuple[str, str]]]) -> "Builder":
        self.place, self.options = channel
        return self

    def create(self) -> "Session":
        if "broken" in self.place:
            raise ValueError(self.place)
        Builder.default = Session(self.place, self.options)
        return Builder.default

    def getOrCreate(self) -> "Session":
        return Builder.default or self.create()


class Session:
    """Of a cluster; keeps asking one that is away as long as its policies say."""

    def __init__(self, place: str, options: list[tuple[str, str]]) -> None:
        self.place, self.options, self.client, self.policies = place, options, self, list[Any]()

    def set_retry_policies(self, policies: list[Any]) -> None:
        self.policies = policies


@pytest.fixture(autouse=True)
def _client(monkeypatch: pytest.MonkeyPatch) -> None:
    session, client = ModuleType("pyspark.sql.connect.session"), ModuleType("pyspark.sql.connect.client")
    session.SparkSession = type("SparkSession", (), {"builder": Builder()})  # type: ignore[attr-defined]
    client.DefaultChannelBuilder = lambda *given: given  # type: ignore[attr-defined]
    for one in ("pyspark", "pyspark.sql", "pyspark.sql.connect"):
        monkeypatch.setitem(sys.modules, one, ModuleType(one))
    monkeypatch.setitem(sys.modules, session.__name__, session)
    monkeypatch.setitem(sys.modules, client.__name__, client)
    retries = ModuleType("pyspark.sql.connect.client.retries")
    retries.DefaultPolicy = lambda **given: given  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pyspark.sql.connect.client.retries", retries)
    monkeypatch.setattr(Builder, "default", None)
    monkeypatch.setattr(hosts, "addresses", lambda name: ["2001:db8::7", "192.0.2.7"] if name == "known" else [])


def access(host: str, passfile: str = "", sslmode: str = "verify-full") -> dict[str, Any]:
    return {"host": host, "port": 15002, "passfile": passfile, "sslmode": sslmode, "schema": "s", "table": "t",
            "seconds": 60}


def test_it_works() -> None:
    """Each source its own cluster, whoever was asked before."""
    found = [spark.dial(access(host)) for host in ("one", "two")]
    assert [one.place for one in found] == ["sc://one:15002/;use_ssl=true", "sc://two:15002/;use_ssl=true"]
    assert found[0].policies == [{"max_retries": 4, "max_backoff": 2000}], "a lost cluster is lost in seconds"


def test_a_confined_worker_dials_an_address_under_the_name_to_be_verified() -> None:
    """gRPC would ask a name server by datagrams, which the worker may not send."""
    found = spark.dial(access("known"))
    assert found.place == "sc://192.0.2.7:15002/;use_ssl=true"
    assert found.options == [("grpc.ssl_target_name_override", "known"), ("grpc.default_authority", "known")]


def test_only_who_says_so_speaks_in_clear(tmp_path: Path) -> None:
    """With a token or without one: `config.toml` lets only a cluster of this machine say `disable`."""
    place = tmp_path / "token"
    place.write_text("t\n")
    assert spark.dial(access("far", str(place))).place == "sc://far:15002/;use_ssl=true;token=t"
    assert "use_ssl" not in spark.dial(access("127.0.0.1", sslmode="disable")).place


def named(name: str) -> Exception:
    """An exception as Spark's client would raise it: of that name, or derived from it."""
    error: Exception = type("Wrapped", (type(name, (Exception,), {}),), {})("a row's value")
    return error


@pytest.mark.parametrize(("name", "code"), [
    ("AnalysisException", "dataset.changed"), ("NumberFormatException", "dataset.changed"),
    ("ArithmeticException", "dataset.changed"), ("SparkConnectGrpcException", "dataset.unreachable"),
    ("Py4JNetworkError", "dataset.unreachable"), ("OutOfMemoryError", "dataset.unreachable")])
def test_only_what_was_read_and_differs_has_changed(name: str, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lost connection says nothing of the rows; already the first word of the session may be lost."""
    class Lost:
        class conf:
            @staticmethod
            def set(*_: Any) -> None:
                raise named(name)

    monkeypatch.setattr(spark, "ibis", SimpleNamespace(pyspark=None))
    with pytest.raises(MpcError) as trouble:
        spark.SparkTable(Lost(), "s", "t", check=None)
    assert trouble.value.code == code and "value" not in str(trouble.value)


def test_no_error_says_the_token(tmp_path: Path) -> None:
    place = tmp_path / "token"
    place.write_text("secret-token")
    for host, file in (("broken", place), ("fine", tmp_path / "not-there")):
        with pytest.raises(MpcError) as away:
            spark.dial(access(host, str(file)))
        assert away.value.code == "dataset.unreachable"
        assert away.value.__cause__ is None
        assert "secret" not in str(away.value)


def test_a_session_of_its_own_ends_with_the_table() -> None:
    class Held:
        stopped = 0

        def stop(self) -> None:
            self.stopped += 1
            raise OSError("gone")

    for own, stopped in ((True, 1), (False, 0)):
        table, session = object.__new__(spark.SparkTable), Held()
        table._session, table._own = session, own
        table.close()
        assert session.stopped == stopped
