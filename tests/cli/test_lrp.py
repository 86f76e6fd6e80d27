"""Relevance as a user meets it: compiled graphs, engines, composites of one's own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import toolkit as library
from tests.comparison import contents
from toolkit.lrp.compiler import compile_relevance
from toolkit.store.read import read_whole

EPSILON = "lrp.epsilon"
OWN = """
[explanation]
composites = ["lrp.epsilon", "mine"]
[[explanation.own.mine]]
position = 0
rule = "flat"
[[explanation.own.mine]]
kind = "convolution"
rule = "alpha_beta"
parameters = { alpha = 2, beta = 1, bias = "split" }
[[explanation.own.mine]]
name = "*"
rule = "epsilon"
parameters = { epsilon = 0.01 }
"""
NO_TENSORFLOW = "raise ImportError('TensorFlow must not be imported here')\n"


@pytest.fixture
def copy(finished, tmp_path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "copy", copy_function=shutil.copy2))


@pytest.fixture
def small_network(tmp_path) -> Path:
    """A linear network of two classes over three values."""
    nodes = [helper.make_node("Gemm", ["x", "w"], ["z"]), helper.make_node("Softmax", ["z"], ["p"])]
    weights = numpy_helper.from_array(np.array([[1, 2], [0, 1], [3, -1]], np.float32), "w")
    x, p = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", size])
        for name, size in (("x", 3), ("p", 2))
    )
    graph = helper.make_graph(nodes, "net", [x], [p], [weights])
    path = tmp_path / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def test_compile__gives_maps_of_any_network(small_network, toolkit, tmp_path):
    out = tmp_path / "deep" / "relevance.onnx"
    words = ["--composite", EPSILON, "--composite", "gradient", "-o", out]
    done = toolkit("lrp", "compile", small_network, *words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-3:] == ["logits", "relevance.lrp.epsilon", "relevance.gradient"]
    session = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
    x = np.array([[1, 1, 1], [2, 0, -1]], np.float32)
    logits, epsilon, gradient = session.run(None, {"x": x, "target": np.array([-1, 1])})
    np.testing.assert_allclose(logits, [[4, 2], [-1, 5]])
    np.testing.assert_allclose(epsilon, [[1, 0, 3], [4, 0, 1]], rtol=1e-6)
    np.testing.assert_allclose(gradient, [[1, 0, 3], [2, 1, -1]])


def test_compile__same_bytes_every_time(small_network, toolkit, tmp_path):
    for name in ("a.onnx", "b.onnx"):
        assert (
            toolkit("lrp", "compile", small_network, "--composite", EPSILON, "-o", tmp_path / name).returncode
            == 0
        )
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--composite", "lrp.magic"], 4, "composite 'lrp.magic' is not known: choose from lrp.z, "),
        (["--composite", EPSILON, "--composite", EPSILON], 4, "named twice"),
        ([], 2, "--composite"),
    ],
)
def test_compile__refuses_composites_and_writes_nothing(small_network, toolkit, tmp_path, words, code, message):
    done = toolkit("lrp", "compile", small_network, *words, "-o", tmp_path / "o.onnx")
    assert (done.returncode, message in done.stderr) == (code, True), done.stderr
    assert not (tmp_path / "o.onnx").exists()


def test_compile__names_what_is_no_network(toolkit, tmp_path):
    (tmp_path / "text.onnx").write_text("hello, this is not a network")
    for name, message in (("text.onnx", "not a valid ONNX model"), ("absent.onnx", "No such file")):
        done = toolkit("lrp", "compile", tmp_path / name, "--composite", EPSILON, "-o", tmp_path / "o.onnx")
        assert done.returncode == 4
        assert message in done.stderr
        assert name in done.stderr


def test_compile__takes_a_composite_of_ones_own(small_network, toolkit, tmp_path):
    (tmp_path / "own.toml").write_text(OWN.replace('kind = "convolution"', "position = -1"))
    words = ["--composite", "mine", "--config", tmp_path / "own.toml", "-o", tmp_path / "o.onnx"]
    assert toolkit("lrp", "compile", small_network, *words).returncode == 0
    session = onnxruntime.InferenceSession(tmp_path / "o.onnx", providers=["CPUExecutionProvider"])
    (found,) = session.run(["relevance.mine"], {"x": np.ones((1, 3), np.float32), "target": np.array([0])})
    np.testing.assert_allclose(found, [[4 / 3] * 3], rtol=1e-6)


def test_compile__refuses_a_composite_of_which_a_rule_is_for_no_layer(small_network, toolkit, tmp_path):
    (tmp_path / "own.toml").write_text(OWN)
    words = ["--composite", "mine", "--config", tmp_path / "own.toml", "-o", tmp_path / "o.onnx"]
    done = toolkit("lrp", "compile", small_network, *words)
    assert done.returncode == 4
    assert "rule alpha_beta (kind=convolution" in done.stderr
    assert "is for no layer of this network" in done.stderr


def test_compile__writes_over_no_network_and_no_device(small_network, toolkit, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    before = small_network.read_bytes()
    for out in (small_network, tmp_path / "pipe", tmp_path):
        done = toolkit("lrp", "compile", small_network, "--composite", EPSILON, "-o", out)
        assert done.returncode == 4, done.stderr
    assert small_network.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.onnx", "pipe"]


def test_explain__leaves_the_graph_that_made_the_maps(finished):
    """Maps in the store are those of relevance.onnx beside the network that held the clip out."""
    store = library.open_store(finished)
    maps = store.sel(representation="mel", composite=EPSILON, fold=2).load()
    folder = finished / "models" / "mel" / "fold-02"
    composites = [EPSILON, "lrp.sequential_preset_a_flat"]
    expected = compile_relevance(folder / "network.onnx", composites)
    assert (folder / "relevance.onnx").read_bytes() == expected.SerializeToString(deterministic=True)
    session = onnxruntime.InferenceSession(folder / "relevance.onnx", providers=["CPUExecutionProvider"])
    assert [each.name for each in session.get_inputs()] == ["spectrogram", "target"]
    assert np.isfinite(maps["relevance"]).all()


def test_explain__needs_no_tensorflow(copy, tmp_path):
    """As in the image ``slim``: on a run trained elsewhere, everything after export."""
    for package in ("tensorflow", "keras", "innvestigate"):
        (tmp_path / "without" / package).mkdir(parents=True)
        (tmp_path / "without" / package / "__init__.py").write_text(NO_TENSORFLOW)
    paths = os.pathsep.join([str(tmp_path / "without"), *filter(None, [os.environ.get("PYTHONPATH")])])
    before = contents(copy / "store.zarr")
    for words in (["explain", "--force"], ["statistics"], ["report"]):
        command = [sys.executable, "-m", "toolkit", *words, "--out", str(copy)]
        done = subprocess.run(
            command, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    assert contents(copy / "store.zarr") == before


def test_composite_of_ones_own__goes_through_to_the_pages(copy, toolkit, tmp_path):
    (tmp_path / "own.toml").write_text(OWN)
    done = toolkit("run-all", "--out", copy, "--config", tmp_path / "own.toml")
    assert done.returncode == 0, done.stderr
    store = library.open_store(copy)
    assert store.composites == [EPSILON, "mine"]
    assert np.isfinite(store.sel(representation="mel", composite="mine")["relevance"]).all()
    assert "mine" in (copy / "reports" / "whistle.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('rule = "flat"', 'rule = "round"', "rule 'round' is not known: choose from z, "),
        ("epsilon = 0.01", "eps = 0.01", "rule epsilon has no parameter 'eps'"),
        ("epsilon = 0.01", 'epsilon = "small"', "of the wrong type"),
        ("alpha = 2", "alpha = 3", "alpha - beta"),
        ('kind = "convolution"', 'kind = "conv"', "kind 'conv'"),
        ("own.mine", '"own"."lrp.z"', "is one of the toolkit's own"),
        ('"mine"]', '"lrp.epsilon"]', "names one twice"),
        ("position = 0", "place = 0", "no such setting"),
    ],
)
def test_composite_of_ones_own__is_refused_before_anything_changes(copy, toolkit, tmp_path, old, new, message):
    assert old in OWN
    (tmp_path / "own.toml").write_text(OWN.replace(old, new))
    before = contents(copy)
    done = toolkit("explain", "--out", copy, "--config", tmp_path / "own.toml")
    assert (done.returncode, message in done.stderr) == (4, True), done.stderr
    assert contents(copy) == before


def test_provider__that_is_not_here_is_refused_and_forgotten(copy, toolkit):
    done = toolkit("explain", "--out", copy, "--provider", "cuda")
    assert done.returncode == 4
    assert "no provider cuda here, only" in done.stderr
    assert "cpu" in done.stderr
    assert toolkit("explain", "--out", copy).returncode == 0


def test_verify__compares_both_engines(finished, toolkit):
    done = toolkit("verify", "--out", finished, "--clips", 9, "--representation", "mel", "--tolerance", "1e-3")
    assert done.returncode == 0, done.stderr
    head, *rows = [line.split() for line in done.stdout.splitlines()]
    assert [row[:3] for row in rows] == [["mel", EPSILON, "9"], ["mel", "lrp.sequential_preset_a_flat", "9"]]
    medians = [float(row[head.index("median") + 2]) for row in rows]
    assert all(0 < median < 1e-3 for median in medians)  # networks trained for a moment: logits near 0


def test_verify__past_the_tolerance_ends_with_6(finished, toolkit):
    words = [
        "--clips",
        3,
        "--representation",
        "mel",
        "--fold",
        1,
        "--composite",
        EPSILON,
        "--tolerance",
        "1e-12",
    ]
    done = toolkit("verify", "--out", finished, *words)
    assert done.returncode == 6, done.stderr
    assert "quality.verify_tolerance=1e-12" in done.stderr
    assert EPSILON in done.stdout


def test_verify__needs_a_run(toolkit, tmp_path):
    done = toolkit("verify", "--out", tmp_path / "nothing")
    assert done.returncode == 4
    assert "holds no run" in done.stderr


def test_engine__innvestigate_gives_the_same_maps(copy, toolkit):
    before = library.open_store(copy).sel(representation="mel", composite=EPSILON)["relevance"].values
    shares = read_whole(copy / "store.zarr", f"relevance_by_target/mel/{EPSILON}", ("share",))["share"]
    words = ["--engine", "innvestigate", "--representation", "mel", "--composite", EPSILON, "--fold", 1]
    done = toolkit("explain", "--out", copy, *words)
    assert done.returncode == 0, done.stderr
    maps = library.open_store(copy).sel(representation="mel", composite=EPSILON, fold=1).load()
    rows = library.open_store(copy).sel(representation="mel", composite=EPSILON).load()["fold"].values == 1
    apart = np.abs(maps["relevance"].values - before[rows]).max(axis=(1, 2))
    assert 0 < np.median(apart / np.abs(before[rows]).max(axis=(1, 2))) < 1e-3
    found = read_whole(copy / "store.zarr", f"relevance_by_target/mel/{EPSILON}", ("share",))["share"]
    assert 0 < np.median(np.abs(found - shares)[rows].max(axis=2)) < 1e-3
    assert np.isnan(found[~rows]).all()
