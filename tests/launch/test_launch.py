"""Scripts that start runs on clusters: valid files that start the same command."""

import os
import re
import shutil
import stat
import subprocess

import pytest
import tiny_runs as runs

LAUNCH = runs.ROOT / "launch"
SCRIPTS = sorted(LAUNCH.glob("*.sh"))
COMMAND = "-m ddgan_jax.main"
# A fake gcloud that records its arguments and reports an active slice.
GCLOUD = """#!/usr/bin/env bash
printf '%s\\n' "$*" >>"$CALLS"
case "$*" in *describe*) echo ACTIVE ;; esac
"""


def test_all_are_there():
    assert [path.name for path in SCRIPTS] == [
        "compare.sh",
        "local.sh",
        "slurm.sh",
        "tpu_pod.sh",
    ]
    for path in (*SCRIPTS, LAUNCH / "gke.yaml", LAUNCH / "Dockerfile"):
        text = path.read_text()
        assert len(text.splitlines()) < 80, "short"
        assert any(line.startswith("# ") for line in text.splitlines()[:2]), (
            "the header says what the file is for"
        )


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_bash(script):
    assert script.stat().st_mode & stat.S_IXUSR
    subprocess.run(["bash", "-n", str(script)], check=True)
    if script.name == "compare.sh":  # trains, evaluates, compares: tests/test_launch_compare.py
        return
    starts = [line for line in script.read_text().splitlines() if COMMAND in line]
    assert sum(not line.startswith("#") for line in starts) == 1


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_has_nothing_to_say(script):
    if not shutil.which("shellcheck"):
        pytest.skip("shellcheck is not installed (the extra `test` has it)")
    done = subprocess.run(["shellcheck", str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def stand_in(folder, name, text):
    path = folder / name
    path.write_text(text)
    path.chmod(0o755)


def run(script, *args, folder, **variables):
    """Run a script with stand-ins from `folder`; returns the arguments they got."""
    calls = folder / "calls"
    env = os.environ | variables | {"PATH": f"{folder}:{os.environ['PATH']}", "CALLS": str(calls)}
    done = subprocess.run(
        [str(LAUNCH / script), *args], env=env, cwd=runs.ROOT, capture_output=True, text=True
    )
    return done, calls.read_text() if calls.exists() else ""


@pytest.mark.parametrize("verb", ["create", "copy", "all", "run", "logs", "stop", "delete"])
def test_tpu_pod(tmp_path, verb):
    stand_in(tmp_path, "gcloud", GCLOUD)
    stand_in(tmp_path, "git", "#!/usr/bin/env bash\n")  # the tests may run without a clone
    flags = ["--config=configs/ddgan_digits.py", "--config.train.duration=5 steps"]
    flags = {"run": flags, "all": ["nproc && uptime"]}.get(verb, [])
    where = dict(TPU="pod", ZONE="zone-b", TYPE="v5litepod-32", PROJECT="mine")
    done, calls = run("tpu_pod.sh", verb, *flags, folder=tmp_path, **where)
    assert done.returncode == 0, done.stderr
    assert "pod" in calls and "--zone=zone-b --project=mine" in calls
    if verb == "run":
        assert "--worker=all" in calls and f"python {COMMAND} --config=configs" in calls
        assert "kill -0" in calls  # a second run is refused
        assert r"--config.train.duration=5\ steps" in calls  # quoted for the remote shell
    if verb == "copy":
        sent, installed = calls.splitlines()[0], calls.splitlines()[1:]
        assert " scp " in sent and sent.endswith("--worker=all") and "ddgan_jax[tpu]" in calls
        assert any("--python=3.12" in line for line in installed)  # setup.cfg wants 3.11 or later
    if verb == "all":
        assert calls.rstrip().endswith("--worker=all --command=nproc && uptime")
    if verb == "create":
        assert "queued-resources create pod" in calls and "--accelerator-type=v5litepod-32" in calls


def test_tpu_pod_of_no_name(tmp_path):
    done, calls = run("tpu_pod.sh", "delete", folder=tmp_path, TPU="", ZONE="z")
    assert done.returncode != 0 and "TPU" in done.stderr and not calls


@pytest.mark.parametrize(
    "status, restarts, requeued",
    [
        *((status, 0, False) for status in (0, 1)),
        *((status, 99, True) for status in (75, 129, 134, 137, 138, 143)),
        (75, 100, False),
    ],
)
def test_slurm_requeues_what_can_go_on(tmp_path, status, restarts, requeued):
    record = '#!/usr/bin/env bash\nprintf "%s\\n" "{} $*" >>"$CALLS"\nexit {}\n'
    stand_in(tmp_path, "srun", record.format("srun", status))
    stand_in(tmp_path, "scontrol", record.format("scontrol", 0))
    args = ["--config=configs/ddgan_digits.py", "--config.train.duration=5 steps"]
    job = {"SLURM_JOB_ID": "17", "SLURM_RESTART_COUNT": str(restarts)}
    done, calls = run("slurm.sh", *args, folder=tmp_path, **job)
    assert done.returncode == status
    assert f"python {COMMAND} {' '.join(args)}" in calls
    assert ("scontrol requeue 17" in calls) == requeued


def test_jobset():
    yaml = pytest.importorskip("yaml")
    jobset = yaml.safe_load((LAUNCH / "gke.yaml").read_text())
    assert (jobset["apiVersion"], jobset["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    spec = jobset["spec"]
    assert spec["network"]["enableDNSHostnames"] and spec["failurePolicy"]["maxRestarts"] > 0
    (hosts,) = spec["replicatedJobs"]
    job = hosts["template"]["spec"]
    assert job["completionMode"] == "Indexed" and job["backoffLimit"] == 0
    assert job["parallelism"] == job["completions"]
    pod = job["template"]["spec"]
    assert pod["restartPolicy"] == "Never"
    (container,) = pod["containers"]
    assert " ".join(container["command"]) == f"python {COMMAND}"
    chips = container["resources"]["limits"]["google.com/tpu"]
    assert container["resources"]["requests"]["google.com/tpu"] == chips
    rows, columns = map(int, pod["nodeSelector"]["cloud.google.com/gke-tpu-topology"].split("x"))
    assert rows * columns == chips * job["completions"]
    rule = job["podFailurePolicy"]["rules"][0]
    assert rule["onExitCodes"] == {
        "containerName": container["name"],
        "operator": "In",
        "values": [1],
    }
    # The names in the header are those of the JobSet below.
    text = (LAUNCH / "gke.yaml").read_text()
    name = jobset["metadata"]["name"]
    assert f"jobset-name={name}" in text
    assert f"--coordinator={name}-{hosts['name']}-0-0.{name}:" in text


def test_dockerfile():
    lines = (LAUNCH / "Dockerfile").read_text().splitlines()
    words = [line.split()[0] for line in lines if line and not line.startswith("#")]
    assert words[0] == "FROM" and words[-1] == "ENTRYPOINT"
    assert lines[-1] == 'ENTRYPOINT ["python", "-m", "ddgan_jax.main"]'
    for line in lines:
        if match := re.match(r"COPY (.*) \S+$", line):
            assert all((runs.ROOT / name).exists() for name in match[1].split()), line
    extras = (runs.ROOT / "setup.cfg").read_text()
    assert "\ncuda =" in extras and "\ntpu =" in extras
