"""What the user cannot correct: internal errors, closed outputs, environments without a home."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_runs as runs

from ddgan_jax.cli import environment, exit_status, main
from ddgan_jax.cli.exit_status import Status, run_command
from ddgan_jax.core.errors import UserError

SHIPPED = runs.ROOT / "ddgan_jax" / "pretrained" / "ddgan_digits"


def command(*args, variables=(), drop=(), prefix=(), **how):
    """(exit status, stdout, stderr) of a command of its own."""
    env = {k: v for k, v in runs.environment(variables=variables).items() if k not in drop}
    done = subprocess.run(
        [*prefix, sys.executable, "-m", "ddgan_jax", *map(str, args)],
        **{"env": env, "cwd": runs.ROOT, "capture_output": True, "timeout": 120} | how,
    )
    return done.returncode, *((text or b"").decode() for text in (done.stdout, done.stderr))


# --- internal errors -----------------------------------------------------------------------------


def broken():
    raise LookupError("no\nluck")


def test_an_internal_error_is_one_line_and_a_file(capfd, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert run_command(broken) == Status.BUG == 70
    err = capfd.readouterr().err
    runs.one_line(err, ["internal error: LookupError: no luck", "please report"])
    file = Path(re.search(r"the details are in (\S+),", err)[1])
    assert file.parent == tmp_path
    assert "Traceback" in file.read_text() and "in broken" in file.read_text()


def test_debug_prints_the_traceback_too(capfd, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("ddgan_jax.cli._split_command", lambda argv: broken())
    assert main(["fields", "--debug"]) == 70
    err = capfd.readouterr().err
    assert "Traceback" in err and "internal error: LookupError" in err.splitlines()[-1]
    assert main(["fields"]) == 70
    runs.one_line(capfd.readouterr().err, ["internal error"])


def test_details_that_cannot_be_written(capfd, monkeypatch):
    def no_file(*args, **how):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(exit_status.tempfile, "NamedTemporaryFile", no_file)
    assert run_command(broken) == 70
    runs.one_line(capfd.readouterr().err, ["internal error: LookupError", "Read-only", "--debug"])


def test_mistakes_are_no_internal_errors(capfd):
    for error, words in (
        (UserError("a mistake"), "a mistake"),
        (OSError(28, "No space left on device", "f"), "No space left on device: f"),
        (MemoryError(), "out of memory"),
    ):

        def fails(error=error):
            raise error

        assert run_command(fails) == 1
        runs.one_line(capfd.readouterr().err, [words])


def test_threads_and_destructors_are_one_line_too(tmp_path):
    code = (
        "import threading; from ddgan_jax.cli import exit_status; exit_status.report_in_threads()\n"
        "class Bad:\n  def __del__(self): raise LookupError('late')\n"
        "Bad()\n"
        "t = threading.Thread(target=lambda: 1 / 0); t.start(); t.join()\n"
    )
    env = runs.environment(variables={"TMPDIR": str(tmp_path)})
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    lines = done.stderr.splitlines()
    assert len(lines) == 2 and "LookupError: late" in lines[0] and "ZeroDivision" in lines[1]
    assert len(list(tmp_path.glob("ddgan_jax_error_*.txt"))) == 2


# --- output --------------------------------------------------------------------------------------


@pytest.mark.cluster
def test_a_reader_that_closes_the_output_is_no_error(tmp_path):
    """As `| head -1`: quiet, status 141; whether the output is flushed at the end or before."""
    for args in (["fields"], ["--help"], ["sample", f"--workdir={SHIPPED}", f"--out={tmp_path}"]):
        read, write = os.pipe()
        os.close(read)
        code, _, err = command(*args, capture_output=False, stdout=write, stderr=subprocess.PIPE)
        os.close(write)
        assert (code, err) == (141, ""), args


@pytest.mark.cluster
def test_an_output_on_a_full_disk_is_a_mistake():
    with open("/dev/full", "w") as full:
        code, _, err = command("fields", capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert code == 1
    runs.one_line(err, ["No space left on device"])


def test_only_a_closed_output_counts():
    error = UserError("cannot be written to")
    error.__cause__ = BrokenPipeError(32, "Broken pipe")
    assert not exit_status.closed_output(error)  # the test's own output is open
    assert not exit_status.closed_output(OSError(28, "No space left on device"))


# --- environments --------------------------------------------------------------------------------


@pytest.mark.parametrize("home", ["a file", "a folder of the kernel", "empty", "unknown"])
def test_compiled_programs_are_not_kept_without_a_folder(home, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    places = {"a file": str(tmp_path / "file"), "a folder of the kernel": "/proc", "empty": ""}
    if home == "unknown":
        monkeypatch.setattr(Path, "home", broken_home)
    else:
        monkeypatch.setenv("HOME", places[home])
    assert environment._writable_folder() == ""


def broken_home():
    raise RuntimeError("Could not determine home directory.")


def test_a_cache_needs_a_home_folder_or_a_variable(monkeypatch):
    from ddgan_jax.io.cache import cache_folder

    monkeypatch.delenv("DDGAN_CACHE", raising=False)
    with monkeypatch.context() as empty:
        empty.setenv("HOME", "")  # which Python takes for "/"
        with pytest.raises(UserError, match="DDGAN_CACHE=FOLDER is needed"):
            cache_folder()
    monkeypatch.setattr(Path, "home", broken_home)
    with pytest.raises(UserError, match="DDGAN_CACHE=FOLDER is needed"):
        cache_folder()


SAMPLE = ["sample", f"--workdir={SHIPPED}", "--num_images=4"]


@pytest.mark.cluster
def test_no_home_and_a_user_without_a_name(tmp_path):
    tmp_path.chmod(0o777)
    prefix = ["setpriv", "--reuid=4242", "--clear-groups"]
    shipped = runs.ROOT / "ddgan_jax" / "pretrained" / "ddgan_digits" / "config.json"
    read = [*prefix, sys.executable, "-c", f"import ddgan_jax.cli; open({str(shipped)!r}).close()"]
    try:
        subprocess.run(read, check=True, capture_output=True, env=runs.environment())
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("another user cannot read the package here")
    for parent in tmp_path.parents:
        if parent.name.startswith(("pytest-", "popen-")):  # made by pytest for its user alone
            parent.chmod(0o755)
    drop = ("HOME", "USER", "LOGNAME", "JAX_COMPILATION_CACHE_DIR", "DDGAN_CACHE")
    code, out, err = command(*SAMPLE, f"--out={tmp_path / 'out'}", drop=drop, prefix=prefix)
    assert (code, err) == (0, ""), err
    assert (tmp_path / "out" / "samples.npz").is_file() and "4 samples" in out


@pytest.mark.cluster
def test_any_encoding(tmp_path):
    plain = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"}
    code, out, err = command(*SAMPLE, f"--out={tmp_path / 'bön'}", variables=plain)
    assert (code, err) == (0, "") and "b\\xf6n" in out
    code, out, err = command(*SAMPLE, b"--out=b\xff".decode(errors="surrogateescape"))
    assert code == 1
    runs.one_line(err, ["b\\xff", "UTF-8"])


@pytest.mark.cluster
@pytest.mark.parametrize("platform", ["cuda", "nothing_like_it"])
@pytest.mark.parametrize("args", [SAMPLE, ["figures"]], ids=["sample", "figures"])
def test_platforms_that_are_not_there(tmp_path, platform, args):
    import jax

    if platform == "cuda" and any(device.platform == "gpu" for device in jax.devices()):
        pytest.skip("there is one")
    env = runs.environment() | {"JAX_PLATFORMS": platform}
    code, _, err = command(*args, f"--out={tmp_path / 'out'}", env=env)
    assert code == 1, err
    runs.one_line(err, [f"JAX_PLATFORMS is '{platform}'", "cpu"])
