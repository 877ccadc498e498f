"""The tables that lessons read."""

import math

import pytest

from coordflow_mini.course.author import tables
from coordflow_mini.course.lesson import tables as stored
from coordflow_mini.course.lesson.tables import read
from coordflow_mini.model import CoordFlow


@pytest.mark.parametrize("name", tables.TABLES)
def test_a_table_ships(name):
    rows = read(name)
    assert rows
    assert all(row.keys() == rows[0].keys() for row in rows)


def test_both_networks_of_chapter_04_have_as_many_weights():
    layer, plain = (CoordFlow(config).parameter_count for config in (tables.LAYER, tables.PLAIN))
    assert abs(layer - plain) < 0.001 * layer
    assert {row["weights"] for row in read("one_layer.csv")} == {layer, plain}


def test_rows_survive_being_written(tmp_path, monkeypatch):
    rows = [{"clip": "pan", "seed": 0.0, "flower": 1.5}, {"clip": "cutout", "seed": 1.0}]
    tables.write(tmp_path / "some.csv", iter(rows))
    monkeypatch.setattr(stored, "data_file", lambda name: tmp_path / name)
    first, second = read("some.csv")
    assert first == rows[0]
    assert math.isnan(second.pop("flower")) and second == rows[1]


def test_an_unknown_table_is_refused(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["tables", "nothing.csv"])
    with pytest.raises(SystemExit):
        tables.main()
    assert "one_layer.csv" in capsys.readouterr().err


def test_the_table_of_gamma_is_complete():
    rows = read("gamma.csv")
    runs = {(row["clip"], row["gamma"], row["seed"]) for row in rows}
    assert len(rows) == len(runs) == 4 * len(tables.GAMMAS) * 3
    assert all(row["alone_db"] <= row["psnr_db"] + 0.1 for row in rows)
