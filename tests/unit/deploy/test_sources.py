import json

import pytest

from deploy.sources import FIXTURES, SourceError, cast_of, demo_cast


def test_it_works():
    cast = demo_cast()
    assert [one.key for one in cast.hospitals] == ["cleveland", "budapest", "zurich-basel", "long-beach"]
    assert all(source.file.exists() and source.dictionary for one in cast.hospitals for source in one.datasets)
    assert {person.organisation for person in cast.people} <= {one.key for one in cast.organisations}


def test_every_column_of_the_heart_data_is_in_its_dictionary():
    folder = FIXTURES / "hospitals" / "uci-heart"
    names = [column["name"] for column in json.loads((folder / "dictionary.json").read_text())["columns"]]
    for file in folder.glob("*.csv"):
        with file.open() as lines:
            assert next(lines).strip().split(",") == names


def test_a_folder_for_each_hospital(tmp_path):
    for hospital in ("north", "south"):
        (tmp_path / hospital).mkdir()
        (tmp_path / hospital / "liver.csv").write_text("age\n1\n")
    (tmp_path / "north" / "liver.dictionary.json").write_text("{}")
    north, south = cast_of(tmp_path).hospitals
    assert north.datasets[0].dictionary and not south.datasets[0].dictionary
    assert [person.username for person in cast_of(tmp_path).people][-2:] == ["north", "south"]


@pytest.mark.parametrize("trouble", ["nobody", "empty", "a name/like this", "regulator"])
def test_what_no_space_can_be_built_from_is_said(tmp_path, trouble):
    if trouble != "nobody":
        (tmp_path / trouble.replace("/", " ")).mkdir()
    if trouble == "regulator":
        (tmp_path / trouble / "liver.csv").write_text("age\n")
    with pytest.raises(SourceError):
        cast_of(tmp_path)
