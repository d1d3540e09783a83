"""``lbc latency estimate``: tables, JSON, added measurements, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lbc.cli.main import main
from tests.latency.conftest import STREAMS

COMMAND = ["latency", "estimate"]
LLAMA = [*COMMAND, "--model", "llama-2-7b"]
DEIT = [*COMMAND, "--model", "deit-small"]


def test_tables_say_that_they_are_estimates_and_from_what(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main([*DEIT, "--gpu", "a100,NVIDIA H100 PCIe", "--tokens", "256,4096"]) == 0
    output = capsys.readouterr().out
    assert output.count("Estimated from published data, not measured") == 4
    assert output.count("SlideSparse (arXiv 2603.05232)") == 4
    for title in ("A100 80 GB PCIe, bfloat16, 256 tokens", "H100 PCIe, bfloat16, 4,096 tokens"):
        assert title in output
    assert output.count("deit-small qkv ×12") == 4
    assert output.count("All linear layers together: about") == 4


def test_json_holds_all_that_the_table_shows(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*LLAMA, "--tokens", "64,2048", "--dtype", "int8,fp16", "--json"]) == 0
    estimates = json.loads(capsys.readouterr().out)["estimates"]
    assert [(one["type"], one["tokens"]) for one in estimates] == [
        ("int8", 64), ("int8", 2048), ("float16", 64), ("float16", 2048),
    ]  # fmt: skip
    for one in estimates:
        assert one["card"] == "A100 80 GB PCIe"
        assert "not measured" in one["note"]
        saved = [layer["saved_us"] for layer in one["layers"]]
        assert saved == sorted(saved, reverse=True)
        assert sum(layer["share_of_weights"] for layer in one["layers"]) == pytest.approx(1)
        for layer in one["layers"]:
            assert layer["low"] < layer["speedup"] < layer["high"]
            assert layer["saved_us"] == pytest.approx(
                layer["count"] * (layer["dense_us"] - layer["sparse_us"])
            )
        dense = sum(layer["count"] * layer["dense_us"] for layer in one["layers"])
        assert one["network"]["dense_us"] == pytest.approx(dense)


def test_a_models_layers_count_with_the_rest_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment = tmp_path / "experiment.yaml"
    experiment.write_text("model: {name: resnet18}\npattern: 2:4\n")
    written = tmp_path / "estimates.json"
    command = [*COMMAND, "--model", str(experiment), "--batch", "128", "--json", str(written)]
    assert main(command) == 0
    (one,) = json.loads(written.read_text())["estimates"]
    assert 0.5 < one["network"]["share"] < 1
    assert one["network"]["speedup"] < max(layer["speedup"] for layer in one["layers"])
    assert main([*command, "--tokens", "64"]) == 2
    assert "give the number of images with --batch" in capsys.readouterr().err


def test_measurements_of_the_same_card_move_the_estimate(
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = [*COMMAND, "--shapes", "4096x4096x4096", "--gpu", "h100", "--json"]
    measured = ["--measured", str(STREAMS / "h100-synthetic.ndjson")]
    speedups = []
    for more in ([], measured):
        assert main([*command, *more]) == 0
        (one,) = json.loads(capsys.readouterr().out)["estimates"]
        speedups.append(one["layers"][0]["speedup"])
    assert speedups[0] != speedups[1]
    assert main([*COMMAND, "--gpu", "a100", *measured]) == 2
    assert "not of the A100" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--gpu", "v100"], "choose A100, H100, B200, RTX 4090, RTX 5080 or GB10"),
        (["--dtype", "fp8"], "There is no published data of float8 on the A100"),
        (["--dtype", "float64"], "There is no published data of type 'float64'"),
        (["--gpu", "h100", "--dtype", "fp16"], "There is no published data of float16 on the H100"),
        (["--shapes", "0x64x4096"], "is out of range"),
        (["--shapes", "4096x64x4100"], "4,100 inputs do not fit 2:4"),
        (["--shapes", "4096x16x4096"], "16 tokens are outside what was measured on the A100"),
        (["--model", "bert-base", "--tokens", "1"], "1 tokens are outside"),
        (["--shapes", "4096x512x4096", "--pattern", "5:8"], "5:8"),
        (["--model", "resnet-50", "--tokens", "64"], "give the number of images with --batch"),
        (["--model", "nothing.yaml"], "does not exist"),
        (["--measured", "nothing.json"], "nothing.json cannot be read"),
    ],
)
def test_what_has_no_estimate_is_one_sentence_without_a_number(
    capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    assert main([*COMMAND, *arguments, "--json"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert sentence in " ".join(printed.err.split())
    assert "Traceback" not in printed.err


def test_layers_outside_the_data_are_named_together(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*DEIT, "--tokens", "16,256", "--json"]) == 0
    printed = capsys.readouterr()
    assert len(json.loads(printed.out)["estimates"]) == 1
    assert printed.err.count("16 tokens are outside") == 1
    assert "deit-small qkv, deit-small proj, deit-small fc1, deit-small fc2" in printed.err


@pytest.mark.parametrize("tokens", ["0", "-1", "x", "", "1,,2", "1.5", "9" * 30])
def test_numbers_of_tokens_that_are_none_are_refused(
    capsys: pytest.CaptureFixture[str], tokens: str
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([*DEIT, f"--tokens={tokens}"])
    assert stopped.value.code == 2
    assert "whole numbers from 1 to 1,048,576" in " ".join(capsys.readouterr().err.split())
