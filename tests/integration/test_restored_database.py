"""A portal's database comes back from an old backup: pg_dump and psql, a real chain. It is recognised before anything
is written, whatever else is away; and with the right backup, or on a new contract, the log goes on.
"""

import json
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.db import connection, connections, transaction
from django.test import Client

from dataspace.provenance import audit, followers, guard, queries, recorder
from dataspace.provenance.models import Event, Leaf
from deploy.postgres import binaries
from ledger.approval import space_salt
from ledger.chain import Chain
from ledger.deployment import deploy_contracts
from ledger.documents import new_id, signed
from ledger.errors import VerificationError
from ledger.keys import EthKey
from tests.integration.chain_space import ChainSpace
from tests.integration.log_portal import anchored, happen, portal
from tests.simulators.portal_space import now

__all__ = ["portal"]
pytestmark = [pytest.mark.stack, pytest.mark.django_db(transaction=True)]


def program(name: str, *arguments: str) -> None:
    """One of PostgreSQL's own, against the portal's database."""
    found = connection.settings_dict
    url = f"postgresql://{quote(found['USER'])}:{quote(found['PASSWORD'])}@{found['HOST']}:{found['PORT']}/{found['NAME']}"
    connections.close_all()
    done = subprocess.run([str(binaries() / name), "-d", url, *arguments], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def restore(file: Path) -> None:
    program("psql", "-q", "-v", "ON_ERROR_STOP=1", "-o", "/dev/null", "-f", str(file))


def test_a_database_from_an_old_backup_writes_nothing(portal: dict[str, Any], tmp_path: Path) -> None:
    happen(300)
    assert anchored(300)
    old, newest = tmp_path / "old.sql", tmp_path / "newest.sql"
    program("pg_dump", "--clean", "--if-exists", "-f", str(old))
    happen(7)
    assert anchored(307)
    program("pg_dump", "--clean", "--if-exists", "-f", str(newest))

    restore(old)
    guard.place().unlink()  # the mark beside the keys is lost with the machine; the chain remembers
    guard.forget()
    assert audit.status()["state"] == "ledger.behind_chain"
    assert Client().get("/healthz").json()["log"]["state"] == "ledger.behind_chain"
    happen(20)
    followers.run_all()
    assert (Event.objects.count(), Leaf.objects.count(), recorder.pending()) == (320, 300, True)
    assert {one.code for one in audit.fsck().findings} == {"ledger.behind_chain"}

    restore(newest)
    assert anchored(307)
    happen(1)
    assert anchored(308)
    assert audit.fsck().whole, "what the backup holds is the log that the chain knows"


def test_a_database_that_wrote_another_history_is_recognised_by_its_root(portal: dict[str, Any]) -> None:
    """As if it had been restored where nobody asked the chain: longer than the chain's head, and another log."""
    happen(5)
    assert anchored(5)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("UPDATE provenance_tile SET data = overlay(data PLACING 'other'::bytea FROM 1)")
    with pytest.raises(VerificationError, match="another root at size 5"):
        guard.check()
    happen(3)
    followers.run_all()
    assert Leaf.objects.count() == 5


def test_on_a_new_contract_the_whole_log_is_anchored_again(portal: dict[str, Any], chain_space: ChainSpace,
                                                          settings: Any) -> None:
    """A fresh chain epoch is a new trust file: the anchors of before count no longer, the head is anchored from 0."""
    happen(9)
    assert anchored(9)
    chain = Chain(chain_space.chain.rpc.urls)
    fresh = deploy_contracts(chain, EthKey.create(), admin=chain_space.regulator.address,
                             operator=chain_space.operator.address, space_salt=space_salt(new_id()))
    document = portal["wire"]["document"]
    later = {**document, "serial": 2, "chain": {**document["chain"], "contracts": fresh}}
    Path(settings.XINGLIN_TRUST).write_text(json.dumps(signed(later, portal["root"])))
    assert queries.anchored_size() == 0
    assert anchored(9)
    assert [(row.prev_size, row.size) for row in queries.anchors()] == [(0, 9)]
    assert audit.reanchor(now=now()) == 0, "nothing is lost"
    assert audit.fsck().whole
    chain.close()
