"""Files are there whole or not at all."""

from coordflow_mini.files import replacing


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    """Each writes to a name of its own; the last one wins, and nothing is left over."""
    target = tmp_path / "x.bin"
    with replacing(target) as first, replacing(target) as second:
        assert first != second
        first.write_bytes(b"first")
        second.write_bytes(b"second")
    assert target.read_bytes() == b"first"  # moved last
    assert list(tmp_path.iterdir()) == [target]
