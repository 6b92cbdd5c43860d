import stat
import subprocess
import sys

import psycopg
import pytest

from deploy.children import answers
from deploy.postgres import Postgres, create_database
from deploy.waiting import wait_until


@pytest.mark.stack
def test_it_works(tmp_path):
    with Postgres(tmp_path / "pg", fast=True) as server:
        server.create_database("portal")
        server.create_database("portal")
        with psycopg.connect(server.url("portal")) as connection:
            assert connection.execute("SHOW server_version_num").fetchone()[0].startswith("18")
    assert not answers(server.port)
    assert stat.S_IMODE((tmp_path / "pg" / "password").stat().st_mode) == 0o600


@pytest.mark.stack
def test_nobody_connects_without_the_password(tmp_path):
    with Postgres(tmp_path / "pg", fast=True) as server, pytest.raises(psycopg.OperationalError):
        psycopg.connect(f"postgresql://portal@127.0.0.1:{server.port}/postgres").close()


@pytest.mark.stack
def test_data_stays_and_a_fresh_database_forgets_it(tmp_path):
    with Postgres(tmp_path / "pg", fast=True) as server:
        server.create_database("portal")
        with psycopg.connect(server.url("portal")) as connection:
            connection.execute("CREATE TABLE kept (id int)")
    with Postgres(tmp_path / "pg", fast=True) as server:
        with psycopg.connect(server.url("portal")) as connection:
            assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)
        create_database(server.url("postgres"), "portal", fresh=True)
        with psycopg.connect(server.url("portal")) as connection:
            assert connection.execute("SELECT to_regclass('kept')").fetchone() == (None,)


@pytest.mark.stack
def test_the_server_ends_with_a_killed_parent(tmp_path, root):
    code = (
        "import sys,time; from pathlib import Path; from deploy.postgres import Postgres\n"
        "print(Postgres(Path(sys.argv[1])/'pg', fast=True).start().port, flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, cwd=root)
    port = int(process.stdout.readline())
    assert answers(port)
    process.kill()
    process.wait()
    process.stdout.close()
    assert wait_until(lambda: not answers(port), seconds=10)
