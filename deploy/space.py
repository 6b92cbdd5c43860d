"""Builds a running space: database, chain, roots of trust, portal, offices and hospitals, each in its own process.

What each organisation does itself (its keys, its data's description, its consent) is done in its own home with its
own keys; this file only starts processes and asks them. Built once, a space is continued: every part looks first
whether it is there.
"""

import json
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from deploy import environment, founding, relaying, witnesses
from deploy.children import free_port
from deploy.commands import Command
from deploy.organisations import adopt_trust, bring_file, make_home
from deploy.places import ROOT, Places
from deploy.postgres import Postgres, create_database
from deploy.sources import Cast, Organisation, SignIn
from deploy.steps import Steps
from deploy.supervisor import Child, Supervisor
from ledger import acts
from ledger.door import Door
from ledger.keys import KeyFile
from ledger.trust import Trust, load_trust
from mpc.node.config import Config

DATABASE, QUEUE, CHAIN, PORTAL, NODES = range(5)  # the stages in which things stop, last first


@dataclass
class Space:
    """A space whose processes run."""

    places: Places
    cast: Cast
    steps: Steps
    supervisor: Supervisor
    portal: str
    rpc: str
    environment: dict[str, str] = field(repr=False)
    homes: dict[str, Config]
    trust: Trust = field(repr=False)

    def check(self) -> None:
        """Raise if a process of the space has ended."""
        self.supervisor.check()

    @contextmanager
    def step(self, key: str, title: str) -> Iterator[None]:
        """A step of the story; it fails if a process of the space ended meanwhile."""
        with self.steps.step(key, title):
            yield
            self.check()

    def health(self) -> dict[str, Any]:
        answer: dict[str, Any] = httpx.get(f"{self.portal}/healthz", timeout=10).json()
        return answer

    def print_sign_ins(self) -> None:
        """Where the portal is and who may sign in."""
        print(f"\nPortal: {self.portal}\nSign-ins:")
        for person in self.cast.people:
            password = (self.places.people / f"{person.username}.password").read_text().strip()
            print(f"   {person.username:<14} {password:<26} {person.name['zh']} / {person.name['en']}")


@contextmanager
def building(
    places: Places, cast: Cast, *, port: int, fresh: bool, drafts: Sequence[str] = (), server: str | None = None
) -> Iterator[Space]:
    """Build the space (or continue the one that is there), hand it over, stop every process at the end.

    `server` is the URL of a PostgreSQL of the user's own; without it we start one. `drafts` are the words with which a
    file without a dictionary is registered.
    """
    if fresh:
        shutil.rmtree(places.home, ignore_errors=True)
        places.space_file.unlink(missing_ok=True)
    for folder in (places.var, places.home, places.portal, places.people):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    _clear_logs(places)
    supervisor = Supervisor(places.logs, directory=ROOT)
    postgres = None if server else Postgres(places.postgres, log=places.logs / "postgres.log")
    try:
        yield _build(
            places,
            cast,
            Steps(),
            supervisor,
            postgres or str(server),
            port=port,
            drafts=drafts,
            fresh=fresh,
        )
    finally:
        supervisor.stop()
        if postgres is not None:
            postgres.stop()


def _clear_logs(places: Places) -> None:
    places.logs.mkdir(parents=True, exist_ok=True)
    for log in places.logs.glob("*.log"):
        if log.name != "up.log":  # the supervising process writes there
            log.unlink()


def _build(
    places: Places,
    cast: Cast,
    steps: Steps,
    supervisor: Supervisor,
    postgres: Postgres | str,
    *,
    port: int,
    drafts: Sequence[str],
    fresh: bool,
) -> Space:
    ports = _ports(places, port, relaying.NAME, *(witnesses.port_name(one) for one in witnesses.chosen(cast)))
    url = f"http://127.0.0.1:{ports['portal']}"
    with steps.step(
        "start", "1. Starting the database, the development chain, the portal, the commission's office, the nodes"
    ):
        _start_chain(places, supervisor, ports["rpc"])
        databases = _start_database(places, postgres, fresh=fresh)
        homes = {one.key: make_home(places.organisation(one.key), one, portal=url) for one in cast.organisations}
        fingerprint, chain_key = founding.make_roots(places)
        settings = environment.portal(
            places, database=databases[0], queue=databases[1], url=url, fingerprint=fingerprint
        )
        prepared = Command("prepare", environment.python("manage.py", "prepare"), settings, places.logs)
        supervisor.wait("chain")
        rpc = f"http://127.0.0.1:{ports['rpc']}"
        watching = witnesses.make(places, cast)
        trust = founding.found(places, homes, rpc=rpc, chain_key=chain_key, witnesses=watching)
        settings |= witnesses.start(supervisor, places, cast, trust, ports, rpc=rpc, stage=CHAIN)
        for home in homes.values():
            adopt_trust(home.home, places.trust, fingerprint=trust.fingerprint)
        settings |= relaying.start(supervisor, places, ports[relaying.NAME], stage=PORTAL)
        _start_nodes(supervisor, cast, homes)  # now, so that their spare workers warm up while the portal starts
        prepared.finish()
        _start_portal(supervisor, settings, ports["portal"])
    space = Space(
        places, cast, steps, supervisor, url, f"http://127.0.0.1:{ports['rpc']}", settings, homes,
        load_trust(places.trust, fingerprint=trust.fingerprint),
    )  # fmt: skip
    with steps.step("admit", "2. Root key and trust file made; the organisations apply and are admitted, on chain"):
        _admit_everybody(space)
    seeded = _seed_people(space)
    with steps.step("register", "3. Each hospital registers its dataset at its own node; the rows stay there"):
        datasets = _register_everything(space, drafts)
    seeded.finish()
    _write_space_file(space, datasets)
    return space


def _ports(places: Places, portal: int, *others: str) -> dict[str, int]:
    """The chain's port is in the trust file, so it stays; every other is taken anew when somebody else has it."""
    file = places.home / "ports.json"
    known: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}
    chosen = {"portal": free_port(known.get("portal") or portal or None), "rpc": known.get("rpc") or free_port()}
    chosen |= {name: free_port(known.get(name)) for name in others}
    if free_port(chosen["rpc"]) != chosen["rpc"]:
        raise OSError(f"port {chosen['rpc']} of this space's chain is taken by another program; try again, or --fresh")
    file.write_text(json.dumps(chosen) + "\n")
    return chosen


def _start_chain(places: Places, supervisor: Supervisor, port: int) -> None:
    log = places.logs / "chain.log"
    supervisor.start(
        Child(
            "chain",
            environment.python("-m", "deploy.devchain", "--home", str(places.chain), "--port", str(port)),
            stage=CHAIN,
            environment=environment.bare(),
            ready=lambda: log.exists() and "\nready " in "\n" + log.read_text(errors="replace"),
        )
    )


def _start_database(places: Places, postgres: Postgres | str, *, fresh: bool) -> tuple[str, str]:
    """The two databases: the portal's, and the queue's on the same server."""
    if isinstance(postgres, Postgres):
        postgres.start()
        for name in ("portal", "queue"):
            postgres.create_database(name)
        return postgres.url("portal"), postgres.url("queue")
    base, _, _ = postgres.rpartition("/")  # a server of the user's own: databases beside theirs, never in them
    names = (f"xinglin_{places.kind}", f"xinglin_{places.kind}_queue")
    for name in names:
        create_database(postgres, name, fresh=fresh)
    return f"{base}/{names[0]}", f"{base}/{names[1]}"


def _start_nodes(supervisor: Supervisor, cast: Cast, homes: dict[str, Config]) -> None:
    for one in cast.organisations:
        if one.role in ("provider", "dealer"):
            start_node(supervisor, one.key, homes[one.key].home)


def start_node(supervisor: Supervisor, key: str, home: Path) -> None:
    """One agent; its log is named after its organisation."""
    supervisor.start(
        Child(
            key,
            environment.python("-m", "mpc.node", "run", "--home", str(home)),
            stage=NODES,
            environment=environment.node(),
        )
    )


def _start_portal(supervisor: Supervisor, settings: dict[str, str], port: int) -> None:
    granian = ["-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    granian += ["--blocking-threads", "24", "--no-ws", "--log-level", "warning", "dataspace.wsgi:application"]
    celery = ["-m", "celery", "-A", "dataspace.celery:app", "worker", "-P", "solo", "-l", "WARNING"]
    celery += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    health = f"http://127.0.0.1:{port}/healthz"
    supervisor.start(Child("portal", environment.python(*granian), PORTAL, settings, ready=lambda: _healthy(health)))
    worker = Child("celery", environment.python(*celery), PORTAL, settings, stop_with=signal.SIGKILL)
    supervisor.start(worker)  # killed, for it would finish a wait first: a task is only a wake-up
    supervisor.start(Child("tend", environment.python("manage.py", "tend"), PORTAL, settings))
    supervisor.wait("portal", relaying.NAME)


def _healthy(url: str) -> bool:
    try:
        return bool(httpx.get(url, timeout=2).json().get("ok"))
    except (httpx.HTTPError, ValueError):
        return False


def door_of(space: Space, home: Config) -> Door:
    """The organisation's own signed door to the portal."""
    return Door(space.portal, home.participant, KeyFile.load(home.keys).signing)


def _admit_everybody(space: Space) -> None:
    """Everybody applies with its own key; the commission confirms each fingerprint and admits it.

    That the commission learns the fingerprints outside the portal is, here, that we hand them over in memory.
    """
    office = space.homes["regulator"]
    office_keys = KeyFile.load(office.keys)
    approver = KeyFile.load(office.approver_keys).approval
    fingerprint = space.trust.fingerprint
    done = space.places.home / "admitted.json"
    already: list[str] = json.loads(done.read_text()) if done.exists() else []

    def admit(one: Organisation) -> None:
        home = space.homes[one.key]
        keys = KeyFile.load(home.keys)
        person = KeyFile.load(home.approver_keys).approval
        record = acts.enrol(
            door_of(space, home),
            keys,
            space.trust,
            name=one.name,
            admitted_as=one.admitted_as,
            approvers=[person] if person else [],
        )
        acts.admit(
            door_of(space, office),
            office_keys,
            space.trust,
            home.participant,
            fingerprint=acts.fingerprint_of(record),
            approver=approver,
        )

    new = [one for one in space.cast.organisations if one.key not in already]
    first = [one for one in new if one.role == "regulator"]  # it admits itself, then the others
    for group in (first, [one for one in new if one not in first]):
        _all_at_once(admit, group)
    done.write_text(json.dumps([one.key for one in space.cast.organisations]) + "\n")
    space.steps.note(f"{len(space.cast.organisations)} organisations admitted")
    space.steps.note(f"everybody has the trust file and its fingerprint by file, not through the portal: {fingerprint}")


def _all_at_once(act: Callable[[Organisation], None], items: list[Organisation]) -> None:
    with ThreadPoolExecutor(max_workers=max(1, len(items))) as pool:
        list(pool.map(act, items))


def _register_everything(space: Space, drafts: Sequence[str]) -> dict[str, dict[str, str]]:
    """Every hospital, at its own node and side by side: its files' descriptions go to the portal."""
    done = space.places.home / "datasets.json"
    known: dict[str, dict[str, str]] = json.loads(done.read_text()) if done.exists() else {}
    found = {one.key: dict(known.get(one.key, {})) for one in space.cast.hospitals}
    commands: list[tuple[str, str, Command]] = []
    for hospital in space.cast.hospitals:
        home = space.homes[hospital.key].home
        for source in hospital.datasets:
            if source.file.name in found[hospital.key]:
                continue
            arguments = ["-m", "mpc.node", "register", "--home", str(home)]
            arguments += ["--file", str(bring_file(home, source.file))]
            if source.dictionary is not None:
                arguments += ["--dictionary", str(bring_file(home, source.dictionary))]
            else:
                arguments += drafts
            name = f"register-{hospital.key}-{source.name}"
            command = Command(name, environment.python(*arguments), environment.node(), space.places.logs)
            commands.append((hospital.key, source.file.name, command))
    for key, file, command in commands:
        answer = json.loads(command.finish().strip().splitlines()[-1])
        found[key][file] = answer["dataset"]
        space.steps.note(f"{key}: {file} is dataset {answer['dataset']}")
    done.write_text(json.dumps(found) + "\n")
    return found


def _seed_people(space: Space) -> Command:
    """The test people's sign-ins, each with a random password in a file of its own."""
    people = [
        {
            "username": person.username,
            "password": environment.secret(space.places.people / f"{person.username}.password", 9),
            "participant": space.homes[person.organisation].participant,
            "roles": list(person.roles),
            "name": person.name["zh"],
        }
        for person in space.cast.people
    ]
    file = space.places.people / "people.json"
    environment.write_private(file, json.dumps(people, ensure_ascii=False, indent=1) + "\n")
    return Command(
        "seed_people", environment.python("manage.py", "seed_people", str(file)), space.environment, space.places.logs
    )


def _write_space_file(space: Space, datasets: dict[str, dict[str, str]]) -> None:
    """All that a script with the SDK needs; paths are relative to the file."""
    var = space.places.var

    def seat(key: str, person: SignIn | None) -> dict[str, Any]:
        home = space.homes[key]
        entry: dict[str, Any] = {
            "participant": home.participant,
            "key_file": str(home.keys.relative_to(var)),
            "approver_file": str(home.approver_keys.relative_to(var)),
            "home": str(home.home.relative_to(var)),
        }
        if person is not None:
            entry["user"] = person.username
            entry["password_file"] = str((space.places.people / f"{person.username}.password").relative_to(var))
        return entry

    signs_in = {person.organisation: person for person in space.cast.people}
    body = {
        "version": 1,
        "portal": space.portal,
        "rpc": space.rpc,
        "trust": str(space.places.trust.relative_to(var)),
        "fingerprint": space.trust.fingerprint,
        "people": {
            one.key: seat(one.key, signs_in.get(one.key)) for one in space.cast.organisations if one.role != "provider"
        },
        "hospitals": [
            {
                "name": one.key,
                **seat(one.key, signs_in.get(one.key)),
                "datasets": [{"file": file, "dataset_id": id} for file, id in datasets[one.key].items()],
            }
            for one in space.cast.hospitals
        ],
    }
    environment.write_private(space.places.space_file, json.dumps(body, ensure_ascii=False, indent=2) + "\n")
