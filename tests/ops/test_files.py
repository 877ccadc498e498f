"""Files are there whole or not at all."""

import ast
import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from coordflow_mini.ops import files
from coordflow_mini.ops.files import InUseError, locked, replacing, tidy

PACKAGE = Path(files.__file__).parents[1]
linux = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere, nobody knows whose a file was")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def dead() -> int:
    """The number of a process that is no more."""
    return int(subprocess.check_output([sys.executable, "-S", "-c", "import os; print(os.getpid())"]))


def of_process(name: str, process: int, end: str = "part") -> str:
    """How a process of this machine calls what it writes."""
    return f".{name}.{files._here()}-{process}-0a1b2c.{end}"


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    """Each writes to a name of its own; the last one wins, and nothing is left over."""
    target = tmp_path / "x.bin"
    with replacing(target) as first, replacing(target) as second:
        assert first != second
        first.write_bytes(b"first")
        second.write_bytes(b"second")
    assert target.read_bytes() == b"first"  # moved last
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.promise("Interruption", "Two processes writing the same output leave one complete result.")
@pytest.mark.parametrize("exchange", [True, False])
def test_two_writers_of_one_folder_do_not_meet(exchange, tmp_path, monkeypatch):
    if not exchange:
        monkeypatch.setattr(files, "_exchanged", lambda *_: False)
    target = tmp_path / "x"
    for _ in range(2):  # where there is none, and where there is one
        with replacing(target) as first, replacing(target) as second:
            for temporary, name in [(first, "first"), (second, "second")]:
                temporary.mkdir()
                (temporary / name).write_text(name)
        assert names(target) == ["first"] and names(tmp_path) == ["x"]


@linux
def test_a_folder_is_never_away(tmp_path, monkeypatch):
    """The names are exchanged: at no call is there nothing under the name."""
    target = tmp_path / "x"
    target.mkdir()
    seen = []
    for call in ("rename", "replace", "rmdir", "unlink", "fsync"):
        real = getattr(os, call)

        def spied(*words, real=real, **more):
            seen.append(target.is_dir())
            done = real(*words, **more)
            seen.append(target.is_dir())
            return done

        monkeypatch.setattr(os, call, spied)
    with replacing(target) as temporary:
        temporary.mkdir()
        (temporary / "new").write_text("new")
    assert all(seen) and len(seen) > 6 and names(target) == ["new"]


def test_what_fails_leaves_what_was_there(tmp_path):
    for target, make in [(tmp_path / "x.bin", Path.touch), (tmp_path / "x", Path.mkdir)]:
        make(target)
        with pytest.raises(ZeroDivisionError), replacing(target) as temporary:
            assert make(temporary) or 1 / 0
    assert names(tmp_path) == ["x", "x.bin"]


def test_a_full_disk_is_named(tmp_path):
    """Also by errors that come from elsewhere, and whose name cannot be set."""

    class ForeignError(OSError):
        filename = property(lambda self: None)

    for kind in (OSError, ForeignError):
        with pytest.raises(OSError, match=r"No space left.*x\.npy"), replacing(tmp_path / "x.npy"):
            raise kind(errno.ENOSPC, "No space left on device")


def test_contents_reach_the_disk_before_the_name_does(tmp_path, monkeypatch):
    """And then the folder: or a power cut could leave the new name empty, or the old one."""
    calls = []
    sync, move = os.fsync, os.replace
    monkeypatch.setattr(
        os, "fsync", lambda number: (calls.append(os.path.isdir(f"/dev/fd/{number}")), sync(number))
    )
    monkeypatch.setattr(os, "replace", lambda *names: (calls.append("move"), move(*names)))
    with replacing(tmp_path / "x") as temporary:
        temporary.write_text("x")
    assert [bool(call) if call != "move" else call for call in calls] == [False, "move", True]


# --- what the killed leave ----------------------------------------------------------------------------


@pytest.mark.promise(
    "Interruption",
    "Leftovers of killed processes are removed by the next one that writes there.",
)
@linux
def test_what_killed_processes_left_is_removed(tmp_path):
    gone = dead()
    (tmp_path / of_process("x.bin", gone)).touch()
    (tmp_path / of_process("x.bin.more.0", gone)).touch()  # of a checkpoint's part
    (tmp_path / of_process("x.bin", gone, "old") / "inner").mkdir(parents=True)
    (tmp_path / "x.bin").touch()
    with replacing(tmp_path / "x.bin") as temporary:
        assert names(tmp_path) == ["x.bin"]
        temporary.touch()


@pytest.mark.promise("Interruption", "Files that a running process may still use are kept.")
@linux
def test_what_may_be_in_use_stays(tmp_path):
    """Of the living, of another machine, of another name, of an older version."""
    kept = [
        of_process("x.bin", os.getpid()),
        of_process("x.bin", os.getppid()),
        of_process("x.bin", 1),  # may belong to another user
        of_process("y.bin", dead()),
        of_process("x.bin", dead()).replace(files._here(), "0123abcd"),
        of_process("x.bin", dead()).replace(files._here(), "0"),
        ".x.bin.0a1b2c3d.part",
        f".x.bin.{files._here()}-{dead()}-0a1b2c.txt",
    ]
    for name in kept:
        (tmp_path / name).touch()
    tidy(tmp_path / "x.bin")
    assert names(tmp_path) == sorted(kept)


@linux
def test_a_folder_that_stepped_aside_comes_back(tmp_path):
    """Killed between two renames, where names cannot be exchanged."""
    old = tmp_path / of_process("x", dead(), "old")
    old.mkdir()
    (old / "inner").touch()
    (tmp_path / of_process("x", dead())).mkdir()
    tidy(tmp_path / "x")
    assert names(tmp_path) == ["x"] and names(tmp_path / "x") == ["inner"]


@pytest.mark.skipif(os.name == "nt", reason="there, signals are other ones")
def test_ctrl_c_waits_for_a_move(tmp_path, monkeypatch):
    """It comes when the new file is in its place, and nothing is left over."""
    before, move = signal.signal(signal.SIGINT, signal.default_int_handler), os.replace
    monkeypatch.setattr(os, "replace", lambda *names: (signal.raise_signal(signal.SIGINT), move(*names)))
    try:
        with pytest.raises(KeyboardInterrupt), replacing(tmp_path / "x") as temporary:
            temporary.write_text("new")
    finally:
        signal.signal(signal.SIGINT, before)
    assert (tmp_path / "x").read_text() == "new" and names(tmp_path) == ["x"]


# --- one at a time ------------------------------------------------------------------------------------


def test_an_output_is_written_by_one_process_at_a_time(tmp_path):
    output = tmp_path / "x.cfv"
    for _ in range(2):
        with locked(output):
            with pytest.raises(InUseError, match=r"x\.cfv is being written"), locked(output):
                pass
            with locked(tmp_path / "y.cfv"):
                pass
        assert not names(tmp_path)


def test_a_lock_is_written_through_no_link(tmp_path):
    mine = tmp_path / "mine"
    mine.write_bytes(b"precious")
    (tmp_path / ".a.cfv.lock").symlink_to(mine)
    with pytest.raises(OSError, match="symbolic links"), locked(tmp_path / "a.cfv"):
        pass
    assert mine.read_bytes() == b"precious"


def test_a_killed_process_frees_its_output(tmp_path):
    code = (
        "import os, pathlib, coordflow_mini.ops.files as f\n"
        f"with f.locked(pathlib.Path({str(tmp_path / 'x.cfv')!r})): os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert names(tmp_path) == [".x.cfv.lock"]
    with locked(tmp_path / "x.cfv"):
        pass
    assert not names(tmp_path)


# --- nobody writes in another way ---------------------------------------------------------------------


def writes(tree: ast.AST, inside: bool = False) -> list[int]:
    """Lines that write a file outside of `with replacing(...)`."""
    found = []
    for node in ast.iter_child_nodes(tree):
        replaces = isinstance(node, ast.With) and "replacing" in ast.unparse(node.items[0])
        within = inside or replaces
        if isinstance(node, ast.Call) and not within:
            name = ast.unparse(node.func).rpartition(".")[2]
            modes = [part.value for part in node.args if isinstance(part, ast.Constant)]
            opens = name == "open" and any(str(mode)[0] in "wax" for mode in modes if mode)
            if opens or name in ("write_text", "write_bytes", "copyfile"):
                found.append(node.lineno)
        found += writes(node, within)
    return found


def test_every_file_is_written_as_a_whole():
    """A line that writes in another way says why, in a comment: `# replacing: why`.  Authors' tools may."""
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if "author" not in path.parts:
            lines = [n for n in writes(ast.parse(text)) if "# replacing: " not in text.splitlines()[n - 1]]
            assert not lines, f"{path.name}, lines {lines}: write with `files.replacing`"


def test_what_stepped_aside_for_another_name_stays(tmp_path):
    """It may be all that is left of that folder: only what has this very name is known to be replaced."""
    dead = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    end = f"{files._here()}-{int(dead.stdout)}-012345"
    for name in (f".out.v2.{end}.old", f".out.v2.{end}.part", f".out.{end}.part"):
        (tmp_path / name).mkdir()
    with replacing(tmp_path / "out") as temporary:
        temporary.mkdir()
    assert names(tmp_path) == [f".out.v2.{end}.old", "out"]


def test_a_full_disk_is_told_with_the_file(tmp_path):
    """The system names no file when a write fails, and a name beside the target would help nobody."""
    target = tmp_path / "film.cfv"
    for said in (None, "beside"):
        with pytest.raises(OSError, match="No space left") as caught, replacing(target):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), said)
        assert caught.value.filename == str(target)
    assert list(tmp_path.iterdir()) == []
