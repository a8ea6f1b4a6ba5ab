import pytest

from pipeline.__main__ import main
from pipeline.cluster import load_cluster
from pipeline.package import task_names
from pipeline.release import PIPELINE
from tests.pipeline.conftest import IMAGE, ROOT


def test_uncommitted_changes(kfp, command, repository):
    params = repository.path / "params.yaml"
    clean = params.read_text()
    try:
        params.write_text(clean.replace("seed: 0", "seed: 1"))
        refused = command("submit")
        assert refused.code == 2 and "uncommitted changes; commit them, or add --allow-dirty" in refused.err and kfp.requests == []
        assert f"version {repository.commit}-dirty-" in command("submit", "--allow-dirty").out
    finally:
        params.write_text(clean)
    (repository.path / "note.txt").touch()
    assert f"version {repository.commit}\n" in command("submit").out


def test_a_version_is_never_two_things(kfp, command):
    command("submit")
    next(iter(kfp.versions.values()))["description"] = "sha256 of another"
    refused = command("submit")
    assert refused.code == 2 and "exists with other content" in refused.err and len(kfp.runs) == 1


def test_without_git(kfp, command, tmp_path, monkeypatch, repository):
    (tmp_path / "params.yaml").write_text((repository.path / "params.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    refused = command("submit")
    assert refused.code == 2 and "finds no commit here" in refused.err
    assert "version v7\n" in command("submit", "--version", "v7").out


@pytest.mark.parametrize("argument", ["train_baseline", "train_baseline=[", "nothing=1", "image=kdflow:latest"])
def test_wrong_arguments_reach_no_server(kfp, command, argument):
    refused = command("submit", "--argument", argument)
    assert refused.code == 2 and refused.err.startswith("error: --argument: ") and kfp.requests == []


def test_the_graph_as_it_is_runs_on_the_server(kfp, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    main(("submit", "--image", IMAGE, "--version", "trial", "--data-repo", "https://example.org/data", "--data-rev", "v1"))
    assert [pipeline["name"] for pipeline in kfp.pipelines.values()] == [PIPELINE]
    (run,) = kfp.runs.values()
    (version,) = kfp.versions.values()
    assert run["service_account"] == load_cluster().service_account
    assert run["runtime_config"]["parameters"].keys() >= {"image", "data_repo", "data_rev", "seed", "data", "teacher", "student", "distill"}
    assert task_names(version["pipeline_spec"])[-1] == "register-model"
