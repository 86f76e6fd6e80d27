"""What relevance cannot be taken through is refused by name; no map is ever wrong instead.

Each network here is a valid one, or nearly so, and many run in onnxruntime: whoever took them for a chain of
known layers would compute other logits than they do.
"""

import re
import tracemalloc
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.lrp.nodes import Step, chain, dense, explain, inputs, model_of, numbers, run, step
from toolkit.errors import ModelError
from toolkit.lrp.compiler import compile_relevance

IMAGE = (2, 6, 5)
FLATTEN = step("Flatten")
CLASSES = dense(60)


def assert_refused(model: onnx.ModelProto | bytes | Path, *parts: str):
    """The message holds all the parts, in this order."""
    with pytest.raises(ModelError, match="(?s)" + ".*".join(parts)):
        compile_relevance(model, ["gradient"])


def bad(operator: str, *constants, **options) -> Step:
    """The node that is to be named in the message."""
    return step(operator, *constants, name="bad", **options)


def assert_node_refused(model: onnx.ModelProto, operator: str, *parts: str):
    """The node 'bad' is named with its operator, then what is wrong with it, then the way out."""
    assert_refused(model, re.escape(f"node 'bad' ({operator}): "), *(parts or ("; ",)))


def among(*steps: Step, opset: int = 17, n: int = 60, **options) -> onnx.ModelProto:
    """Between a ReLU and the last dense layer."""
    return chain(step("Relu"), *steps, FLATTEN, dense(n), shape=IMAGE, opset=opset, **options).model()


def behind_weights(*steps: Step) -> onnx.ModelProto:
    return among(step("Conv", numbers(2, 2, 1, 1)), *steps)


def node(operator: str, inputs: Sequence[str], outputs: Sequence[str], **attributes) -> onnx.NodeProto:
    return helper.make_node(operator, inputs, outputs, **attributes)


def float32(*shape: int) -> np.ndarray:
    return numbers(*shape).astype(np.float32)


PLAIN = chain(step("Relu"), FLATTEN, CLASSES, shape=IMAGE)
WEIGHTS = {"w": float32(60, 3)}
END = [node("Flatten", ["h"], ["flat"]), node("Gemm", ["flat", "w"], ["y"])]


# --- files --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content", [b"", b"\0", b"no network", b"\x08\x08" * 5, bytes(range(256)), b"PK\x03\x04" + bytes(100)]
)
def test_file__that_is_no_network(content: bytes, tmp_path: Path):
    path = tmp_path / "network.onnx"
    path.write_bytes(content)
    assert_refused(content, "ONNX|opset", "export")
    assert_refused(path, "ONNX|opset", "export")


def test_file__that_is_no_network_is_named(tmp_path: Path):
    path = tmp_path / "network.onnx"
    path.write_bytes(b"no network")
    assert_refused(path, re.escape(str(path)), "ONNX", "export")


def test_file__cut_short_anywhere():
    content = PLAIN.model().SerializeToString()
    for size in range(0, len(content), 7):
        assert_refused(content[:size], "export")


def test_file__with_any_byte_changed():
    """It is refused, or it is still a network: nothing else is raised."""
    content = bytearray(chain(FLATTEN, dense(4), shape=(2, 2)).model().SerializeToString())
    for place in range(len(content)):
        for value in (0, 1, 0x7F, 0xFF):
            changed = content[:place] + bytes([value]) + content[place + 1 :]
            try:
                compile_relevance(bytes(changed), ["gradient"])
            except ModelError:
                continue


def test_file__that_is_not_there(tmp_path: Path):
    assert_refused(tmp_path / "absent.onnx", r"absent\.onnx", "[Nn]o such file")


def test_file__that_is_a_folder(tmp_path: Path):
    assert_refused(tmp_path, re.escape(str(tmp_path)), "directory")


@pytest.mark.parametrize(
    "name", ["network.json", "network.textproto", "network.onnxtxt", "network.pb", "network"]
)
@pytest.mark.parametrize("content", [b"no network", b"\xff\xfe\xfd"])
def test_file__of_another_kind(name: str, content: bytes, tmp_path: Path):
    """onnx reads other formats where a name ends as theirs do."""
    (tmp_path / name).write_bytes(content)
    assert_refused(tmp_path / name, name, "export")


@pytest.mark.parametrize("as_bytes", [False, True])
def test_file__whose_weights_are_elsewhere(as_bytes: bool, tmp_path: Path):
    path = tmp_path / "network.onnx"
    options = {"save_as_external_data": True, "location": "weights.bin", "size_threshold": 0}
    onnx.save(PLAIN.model(), path, **options)
    (tmp_path / "weights.bin").unlink()
    assert_refused(path.read_bytes() if as_bytes else path, r"(weights\.bin|y_c0|external)", "export")


# --- versions and types -------------------------------------------------------------------------------------


@pytest.mark.parametrize("opset", [1, 7, 9, 10, 19, 20, 21, 22, 23, 24, 30])
def test_opset__that_is_not_known(opset: int):
    """Also one that the installed onnx does not know: the message says how to export."""
    model = PLAIN.model()
    model.opset_import[0].version = opset
    assert_refused(model, f"opset.*{opset}.*11.*18", "opset=17", "opset_version=17")


def test_opset__given_twice():
    """The one standard domain has two names."""
    model = PLAIN.model()
    model.opset_import.append(helper.make_opsetid("ai.onnx", 13))
    assert_refused(model, "opset|domain|valid")


def test_opset__of_another_domain_alone():
    model = PLAIN.model()
    model.opset_import[0].domain = "com.microsoft"
    assert_refused(model, "opset|valid", "export")


def test_version__of_the_format_from_the_future():
    model = PLAIN.model()
    model.ir_version = 99
    assert_refused(model, "ir_version|IR version", "export")


TYPES = [
    "INT64",
    "INT32",
    "UINT8",
    "FLOAT16",
    "BFLOAT16",
    "STRING",
    "BOOL",
    "COMPLEX64",
    "FLOAT8E4M3FN",
    "INT4",
]


@pytest.mark.parametrize("name", TYPES)
def test_input__of_another_type(name: str):
    assert_refused(
        replace(PLAIN, element=TensorProto.DataType.Value(name)).model(), "input 'x'", "type", "float32"
    )


def test_input__without_a_type():
    model = PLAIN.model()
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.UNDEFINED
    assert_refused(model, "x", "export")


@pytest.mark.parametrize("kind", ["sequence", "optional"])
def test_input__that_is_no_tensor(kind: str):
    model = PLAIN.model()
    tensor = helper.make_tensor_type_proto(TensorProto.FLOAT, ["batch", *IMAGE])
    made = {"sequence": helper.make_sequence_type_proto, "optional": helper.make_optional_type_proto}[kind](
        tensor
    )
    model.graph.input[0].type.CopyFrom(made)
    assert_refused(model, "x", "export")


@pytest.mark.parametrize(
    "shape",
    [[], ["batch"], ["batch", 2, "rows", 5], ["batch", 2, None, 5], ["batch", 2, 0, 5], ["batch", 2, -1, 5]],
)
def test_input__without_a_batch_axis_or_of_a_free_size(shape: list):
    model = PLAIN.model()
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", TensorProto.FLOAT, shape))
    assert_refused(model, "input 'x'", "shape", "export", "batch axis")


def test_input__of_no_shape_at_all():
    model = PLAIN.model()
    model.graph.input[0].type.tensor_type.ClearField("shape")
    assert_refused(model, "shape", "export")


def test_inputs__two():
    model = PLAIN.model()
    model.graph.input.append(helper.make_tensor_value_info("second", TensorProto.FLOAT, ["batch", 3]))
    assert_refused(model, "'x', 'second'", "export one")


def test_inputs__none():
    model = PLAIN.model()
    model.graph.initializer.append(numpy_helper.from_array(float32(1, *IMAGE), "x"))
    assert_refused(model, "input", "export")


def test_outputs__two():
    model = PLAIN.model()
    model.graph.output.append(helper.make_tensor_value_info("t0", TensorProto.FLOAT, ["batch", *IMAGE]))
    assert_refused(model, "'y', 't0'", "export one")


@pytest.mark.parametrize(
    ("steps", "shape"), [([step("Relu")], IMAGE), ([step("MatMul", numbers(5, 3))], IMAGE), ([], (3, 4))]
)
def test_output__that_is_not_batch_and_class(steps: list[Step], shape: tuple[int, ...]):
    model = chain(step("Relu"), *steps, shape=shape).model()
    assert_refused(model, "output 'y'", r"\(batch, class\)", "export")


def test_output__that_is_the_input():
    assert_refused(chain(step("Identity"), shape=(3,)).model(), "'y'|'x'", "export")


def test_output__that_is_a_constant():
    nodes = [node("Identity", ["w"], ["y"])]
    assert_refused(model_of(nodes, {"w": float32(1, 3)}, ["batch", 3]), "'y'", "input", "export")


def test_output__that_hangs_on_the_shape_of_the_input_alone():
    nodes = [
        node("Shape", ["x"], ["sizes"]),
        node("Cast", ["sizes"], ["h"], to=1),
        node("MatMul", ["h", "w"], ["y"]),
    ]
    assert_refused(model_of(nodes, {"w": float32(4, 3)}, ["batch", *IMAGE]), "'y'", "input", "export")


# --- operators that are not known ---------------------------------------------------------------------------

ALONE = (
    "Abs Ceil Elu Erf Exp Floor GlobalLpPool HardSigmoid HardSwish Hardmax IsNaN LeakyRelu Log "
    "LpNormalization Max Mean MeanVarianceNormalization Neg NonZero Reciprocal Round Selu Sigmoid Sign "
    "Size Softplus Softsign Sqrt Sum Tanh ThresholdedRelu"
)
WITH_CONSTANTS = {
    "BatchNormalization": [numbers(2), numbers(2), numbers(2), numbers(2) ** 2],
    "CumSum": [np.asarray(1)],
    "Expand": [np.array([1])],
    "Gather": [np.array([0])],
    "Greater": [np.asarray(0.0)],
    "InstanceNormalization": [numbers(2), numbers(2)],
    "Min": [np.asarray(0.0)],
    "Mod": [np.asarray(1.0)],
    "PRelu": [np.asarray(0.1)],
    "Pow": [np.asarray(2.0)],
    "Slice": [np.array([0]), np.array([3]), np.array([2])],
    "Tile": [np.array([1, 1, 1, 2])],
}
UNKNOWN = {name: [] for name in ALONE.split()} | WITH_CONSTANTS


@pytest.mark.parametrize("operator", UNKNOWN)
def test_operator__that_is_not_known(operator: str):
    model = among(bad(operator, *UNKNOWN[operator]))
    assert_node_refused(model, operator, "; ", "(known are|export|fold|explain)")


@pytest.mark.parametrize(
    ("operator", "attributes", "n_inputs"),
    [
        ("ReduceSum", {}, 1),
        ("ReduceMin", {"axes": [2, 3]}, 1),
        ("ReduceL2", {"axes": [2, 3]}, 1),
        ("ReduceLogSumExp", {"axes": [2, 3]}, 1),
        ("LRN", {"size": 3}, 1),
        ("LpPool", {"kernel_shape": [2, 2]}, 1),
        ("DepthToSpace", {"blocksize": 1}, 1),
        ("SpaceToDepth", {"blocksize": 1}, 1),
        ("Split", {"axis": 1}, 1),
        ("ArgMax", {}, 1),
        ("Concat", {"axis": 1}, 1),
        ("Cast", {"to": TensorProto.FLOAT16}, 1),
        ("Cast", {"to": TensorProto.INT64}, 1),
        ("Einsum", {"equation": "nchw->nchw"}, 1),
        ("ConvTranspose", {}, 2),
        ("LSTM", {"hidden_size": 3}, 3),
        ("GRU", {"hidden_size": 3}, 3),
        ("Resize", {}, 3),
        ("OneHot", {}, 3),
    ],
)
def test_operator__that_is_not_known_with_attributes(operator: str, attributes: dict, n_inputs: int):
    constants = {"a": float32(2, 2, 1, 1), "b": float32(2, 2, 1, 1), "c": float32(2), **WEIGHTS}
    nodes = [node(operator, ["x", "a", "b", "c"][:n_inputs], ["h"], name="bad", **attributes), *END]
    assert_node_refused(model_of(nodes, constants, ["batch", *IMAGE]), operator)


@pytest.mark.parametrize(
    "domain", ["com.microsoft", "ai.onnx.ml", "my.company", "ai.onnx.contrib", "pkg.onnxscript.torch_lib"]
)
@pytest.mark.parametrize("operator", ["Relu", "Gelu", "Identity", "Shape", "Softmax", "Conv"])
def test_operator__of_another_domain(domain: str, operator: str):
    """Whatever it is called: nothing is known of it."""
    nodes = [node(operator, ["x"], ["h"], name="bad", domain=domain), *END]
    if operator == "Softmax":
        nodes = [node("Flatten", ["x"], ["h"]), node("Gemm", ["h", "w"], ["z"])]
        nodes.append(node(operator, ["z"], ["y"], name="bad", domain=domain))
    model = model_of(nodes, WEIGHTS, ["batch", *IMAGE])
    model.opset_import.append(helper.make_opsetid(domain, 1))
    if domain == "ai.onnx.ml":
        assert_refused(model, "valid", "export")
    else:
        assert_node_refused(model, f"{domain}.{operator}")


def test_operator__whose_name_a_function_of_the_file_takes():
    """A file may hold functions; one called Relu is not ONNX's."""
    model = PLAIN.model()
    opsets = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("", "Relu", ["a"], ["b"], [node("Abs", ["a"], ["b"])], opsets))
    assert_refused(model, "Relu|function", "export")


def test_operator__that_is_a_function_of_the_file():
    nodes = [node("Twice", ["x"], ["h"], name="bad", domain="mine"), *END]
    model = model_of(nodes, WEIGHTS, ["batch", *IMAGE])
    opsets = [helper.make_opsetid("", 17)]
    model.functions.append(
        helper.make_function("mine", "Twice", ["a"], ["b"], [node("Add", ["a", "a"], ["b"])], opsets)
    )
    model.opset_import.append(helper.make_opsetid("mine", 1))
    assert_node_refused(model, "mine.Twice")


def branch(name: str, source: str) -> onnx.GraphProto:
    out = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
    return helper.make_graph([node("Relu", [source], [name])], name, [], [out])


@pytest.mark.parametrize("first", ["constant", "x"])
def test_operator__if(first: str):
    """Its branches see the network's input from within."""
    nodes = [
        node(
            "If", ["condition"], ["h"], name="bad", then_branch=branch("a", "x"), else_branch=branch("b", first)
        )
    ]
    constants = {**WEIGHTS, "condition": np.asarray(True), "constant": float32(1, *IMAGE)}
    assert_node_refused(model_of([*nodes, *END], constants, ["batch", *IMAGE]), "If", "export")


def test_operator__loop():
    inputs = [("i", TensorProto.INT64, []), ("go", TensorProto.BOOL, []), ("state", TensorProto.FLOAT, None)]
    outputs = [("on", TensorProto.BOOL, []), ("next", TensorProto.FLOAT, None)]
    described = [[helper.make_tensor_value_info(*each) for each in part] for part in (inputs, outputs)]
    steps = [node("Identity", ["go"], ["on"]), node("Relu", ["state"], ["next"])]
    body = helper.make_graph(steps, "body", *described)
    nodes = [node("Loop", ["n", "", "x"], ["h"], name="bad", body=body), *END]
    assert_node_refused(model_of(nodes, {**WEIGHTS, "n": np.asarray(2)}, ["batch", *IMAGE]), "Loop")


# --- branches -----------------------------------------------------------------------------------------------

BRANCHED = {
    "Add": ([node("Relu", ["x"], ["a"]), node("Add", ["x", "a"], ["h"], name="bad")], "branch"),
    "Sub": ([node("Relu", ["x"], ["a"]), node("Sub", ["a", "x"], ["h"], name="bad")], "branch"),
    "Mul": ([node("Mul", ["x", "x"], ["h"], name="bad")], "branch"),
    "Concat": (
        [node("Relu", ["x"], ["a"]), node("Concat", ["x", "a"], ["h"], axis=2, name="bad")],
        "chains of layers",
    ),
    "Sum": ([node("Relu", ["x"], ["a"]), node("Sum", ["x", "a"], ["h"], name="bad")], "chains of layers"),
    "MatMul": ([node("Relu", ["x"], ["a"]), node("MatMul", ["x", "a"], ["h"], name="bad")], "branch"),
    "Conv": ([node("Relu", ["x"], ["a"]), node("Conv", ["x", "a"], ["h"], name="bad")], "branch"),
    "Gemm": (
        [node("Flatten", ["x"], ["a"]), node("Gemm", ["a", "k", "a"], ["h"], name="bad")],
        "branch",
    ),
}


@pytest.mark.parametrize("operator", BRANCHED)
def test_branches__that_meet(operator: str):
    nodes, reason = BRANCHED[operator]
    constants = {**WEIGHTS, "k": float32(60, 60)}
    assert_node_refused(model_of([*nodes, *END], constants, ["batch", *IMAGE]), operator, reason)


@pytest.mark.parametrize(
    ("first", "used"),
    [
        (node("MaxPool", ["x"], ["h", "second"], kernel_shape=[2, 2], name="bad"), "indices"),
        (node("Dropout", ["x"], ["h", "second"], name="bad"), "mask"),
    ],
)
def test_second_output__that_is_used(first: onnx.NodeProto, used: str):
    """The indices of a max pool, the mask of a dropout: they are read as numbers."""
    nodes = [
        first,
        node("Cast", ["second"], ["numbers"], name="reader", to=1),
        node("Flatten", ["numbers"], ["flat"]),
        END[1],
    ]
    n = 2 * 5 * 4 if used == "indices" else 60
    assert_refused(model_of(nodes, {"w": float32(n, 3)}, ["batch", *IMAGE]), "node '(bad|reader)'", "; ")


@pytest.mark.parametrize("operator", ["MaxPool", "Dropout"])
def test_second_output__without_the_first(operator: str):
    attributes = {"kernel_shape": [1, 1]} if operator == "MaxPool" else {}
    nodes = [
        node(operator, ["x"], ["", "second"], name="bad", **attributes),
        node("Cast", ["second"], ["h"], to=1),
    ]
    assert_refused(model_of([*nodes, *END], WEIGHTS, ["batch", *IMAGE]), "bad", "export")


def test_second_output__that_goes_beside_the_first():
    nodes = [
        node("MaxPool", ["x"], ["pooled", "indices"], kernel_shape=[1, 1]),
        node("MaxUnpool", ["pooled", "indices"], ["h"], name="bad", kernel_shape=[1, 1]),
        *END,
    ]
    assert_refused(model_of(nodes, WEIGHTS, ["batch", *IMAGE]), "MaxUnpool", "; ")


# --- softmax and the end ------------------------------------------------------------------------------------


@pytest.mark.parametrize("operator", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("then", [step("Relu"), dense(3), step("Softmax"), step("Log"), step("Flatten")])
def test_softmax__in_the_middle(operator: str, then: Step):
    then = replace(then, name="bad")
    model = chain(dense(4), step(operator, axis=1), then, shape=(4,)).model()
    assert_node_refused(model, then.operator, "(?i:softmax)", "end of a network")


@pytest.mark.parametrize("opset", [11, 13])
@pytest.mark.parametrize("axis", [0, -2])
def test_softmax__over_the_batch(axis: int, opset: int):
    model = chain(dense(4), bad("Softmax", axis=axis), shape=(4,), opset=opset).model()
    assert_node_refused(model, "Softmax", "axis 0", "classes")


@pytest.mark.parametrize("opset", [11, 13])
def test_softmax__over_more_than_classes(opset: int):
    model = chain(step("Relu"), bad("Softmax"), shape=(4, 3), opset=opset).model()
    assert_node_refused(model, "Softmax", "axis", "classes")


@pytest.mark.parametrize("operator", ["Sigmoid", "Tanh", "Hardmax", "Log"])
def test_end__in_something_else_than_softmax(operator: str):
    model = chain(dense(4), bad(operator), shape=(4,)).model()
    assert_node_refused(model, operator, "; ")


# --- weights ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("operator", ["Conv", "Gemm", "MatMul", "Add", "Mul"])
def test_weights__that_are_no_numbers(operator: str, place: int, value: float):
    shapes = {
        "Conv": [(2, 2, 1, 1), (2,)],
        "Gemm": [(60, 60), (60,)],
        "MatMul": [(5, 5)],
        "Add": [(5,)],
        "Mul": [()],
    }
    weights = [np.array(numbers(*shape)) for shape in shapes[operator]]
    place = min(place, len(weights) - 1)
    weights[place].reshape(-1)[-1] = value
    steps = [FLATTEN, bad(operator, *weights)] if operator == "Gemm" else [bad(operator, *weights)]
    assert_node_refused(chain(*steps, FLATTEN, CLASSES, shape=IMAGE).model(), operator, "finite", "; ")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_padding__by_no_number_where_it_is_not_pooled_away(value: float):
    """NaN or infinity before a convolution: no map of it can hold numbers."""
    pad = bad("Pad", np.array([0, 0, 1, 0, 0, 0, 0, 0]), np.asarray(value))
    assert_refused(among(pad, step("Conv", numbers(2, 2, 2, 1)), n=60), "node 'bad'|finite", "; ")


def test_weights__that_overflow_when_they_are_scaled():
    model = chain(bad("Gemm", np.full((4, 3), 1e30), alpha=1e30), shape=(4,)).model()
    assert_node_refused(model, "Gemm", "finite")


def test_weights__that_are_drawn_anew_in_every_run():
    """A constant that no two runs agree on."""
    for made in (
        node("RandomNormal", [], ["r"], shape=[2, 6, 5], name="bad"),
        node("RandomUniform", [], ["r"], shape=[2, 6, 5], name="bad", seed=1.0),
        node("RandomNormalLike", ["k"], ["r"], name="bad"),
        node("RandomUniformLike", ["k"], ["r"], name="bad"),
        node("Bernoulli", ["k"], ["r"], name="bad"),
        node("Dropout", ["k", "", "on"], ["r"], name="bad"),
    ):
        nodes = [made, node("Add", ["x", "r"], ["h"]), *END]
        constants = {**WEIGHTS, "k": np.abs(float32(2, 6, 5)).clip(0, 1), "on": np.asarray(True)}
        assert_node_refused(model_of(nodes, constants, ["batch", *IMAGE]), made.op_type)


@pytest.mark.parametrize(
    ("operator", "inputs"),
    [
        ("Conv", ["k", "x"]),
        ("MatMul", ["k", "x"]),
        ("Gemm", ["k", "x"]),
        ("Div", ["k", "x"]),
        ("Reshape", ["k", "x"]),
        ("Clip", ["k", "zero", "x"]),
        ("Clip", ["k", "x"]),
        ("Clip", ["x", "", "zero"]),
        ("Pad", ["k", "pads", "x"]),
        ("Gemm", ["k", "k", "x"]),
        ("Conv", ["k", "k", "x"]),
        ("Dropout", ["k", "x"]),
        ("Squeeze", ["k", "x"]),
        ("Unsqueeze", ["k", "x"]),
    ],
)
def test_data__in_a_place_of_constants(operator: str, inputs: list[str]):
    """Some of these no runtime would run; none of them may pass for the plain operator."""
    nodes = [node(operator, inputs, ["h"], name="bad"), *END]
    constants = {**WEIGHTS, "k": float32(2, 2, 1, 1), "zero": np.float32(0), "pads": np.zeros(8, np.int64)}
    assert_node_refused(model_of(nodes, constants, ["batch", *IMAGE]), operator)


MADE = {
    "Transpose": ([node("Transpose", ["turned"], ["k"])], False),
    "Mul": ([node("Mul", ["w", "row"], ["k"])], False),
    "Div": ([node("Div", ["w", "row"], ["k"])], False),
    "Sub": ([node("Sub", ["w", "row"], ["k"])], False),
    "Reshape": ([node("Reshape", ["turned", "size"], ["k"])], False),
    "Concat": ([node("Concat", ["half", "half"], ["k"], axis=0)], False),
    "Cast to half": ([node("Cast", ["w"], ["h"], to=10), node("Cast", ["h"], ["k"], to=1)], False),
    "Cast to whole": ([node("Cast", ["w"], ["h"], to=6), node("Cast", ["h"], ["k"], to=1)], False),
    "Gather": ([node("Gather", ["w", "places"], ["k"], axis=1)], False),
    "Sqrt": ([node("Mul", ["w", "w"], ["h"]), node("Sqrt", ["h"], ["k"])], False),
    "DequantizeLinear": ([node("DequantizeLinear", ["bytes", "number"], ["k"])], True),
    "Softmax": ([node("Softmax", ["three"], ["h"]), node("Reshape", ["h", "size"], ["k"])], True),
    "OneHot": ([node("OneHot", ["beyond", "depth", "pair"], ["k"])], True),
    "LpNormalization": ([node("LpNormalization", ["w"], ["k"], axis=0, p=1)], True),
    "LRN": ([node("LRN", ["four"], ["h"], size=3), node("Reshape", ["h", "size"], ["k"])], True),
    "BatchNormalization": (
        [node("BatchNormalization", ["w", "row", "row", "row", "square"], ["k"], epsilon=0.1)],
        True,
    ),
    "ConvTranspose": (
        [node("ConvTranspose", ["four", "filters"], ["h"], group=3), node("Reshape", ["h", "size"], ["k"])],
        True,
    ),
}
MADE_FROM = {
    **{
        "w": float32(6, 3),
        "turned": float32(3, 6),
        "half": float32(3, 3),
        "row": float32(3),
        "square": float32(3) ** 2,
    },
    **{
        "size": np.array([6, 3]),
        "places": np.array([-1, 0, 1]),
        "number": np.float32(0.1),
        "depth": np.array(3),
    },
    **{
        "bytes": np.arange(18, dtype=np.int8).reshape(6, 3),
        "three": float32(1, 6, 3),
        "four": float32(1, 3, 3, 2),
    },
    **{"beyond": np.array([0, 2, 1, -1, 5, -4]), "pair": np.float32([0.5, 2]), "filters": float32(3, 1, 1, 1)},
}


@pytest.mark.parametrize("opset", [11, 13, 18])
@pytest.mark.parametrize("name", MADE)
def test_weights__that_are_worked_out_are_right_or_refused(name: str, opset: int):
    """What works out constants must be right in all that it is let do."""
    nodes, may_be_refused = MADE[name]
    model = model_of([*nodes, node("MatMul", ["x", "k"], ["y"])], MADE_FROM, ["batch", 6], opset)
    x = inputs(3, 6)
    try:
        found = explain(model, x, [-1] * 3, ["gradient"])["logits"]
    except ModelError:
        found = None
    assert found is not None or may_be_refused
    if found is not None:
        np.testing.assert_allclose(found, run(model, {"x": x})["y"], rtol=1e-5, atol=1e-5)


# --- what hangs on the batch --------------------------------------------------------------------------------

CLIPS = [
    node("Shape", ["x"], ["sizes"]),
    node("Gather", ["sizes", "zero"], ["clips"]),
    node("Cast", ["clips"], ["count"], to=TensorProto.FLOAT),
]
BATCHED = {
    **WEIGHTS,
    "zero": np.asarray(0),
    "one": np.float32(1),
    "first": np.array([0]),
    "limit": np.array([3]),
}
HANGING = {
    "times the number of clips": [node("Mul", ["x", "count"], ["h"])],
    "divided by the number of clips": [node("Div", ["x", "count"], ["h"])],
    "plus the number of clips": [node("Add", ["count", "x"], ["h"])],
    "scaled by the largest size": [
        node("Cast", ["sizes"], ["sizes_1"], to=1),
        node("ReduceMax", ["sizes_1"], ["largest"], keepdims=0),
        node("Div", ["x", "largest"], ["h"]),
    ],
    "plus whether there are many clips": [
        node("Greater", ["clips", "limit"], ["many"]),
        node("Cast", ["many"], ["gain"], to=1),
        node("Add", ["x", "gain"], ["h"]),
    ],
    "padded by the number of clips": [
        node("Mul", ["clips", "pads"], ["padding"]),
        node("Pad", ["x", "padding"], ["padded"]),
        node("ReduceMean", ["padded"], ["mean"], axes=[3]),
        node("Mul", ["x", "one"], ["h"]),
        node("Flatten", ["mean"], ["flat_mean"]),
    ],
}


@pytest.mark.parametrize("nodes", HANGING.values(), ids=HANGING)
def test_number_of_clips__that_comes_into_the_logits(nodes: list[onnx.NodeProto]):
    """A map would hang on what else is in the batch."""
    constants = {**BATCHED, "pads": np.array([0, 0, 0, 1, 0, 0, 0, 0]), "w12": float32(12, 3)}
    end = END if nodes[-1].op_type != "Flatten" else [node("Gemm", ["flat_mean", "w12"], ["y"])]
    assert_refused(
        model_of([*CLIPS, *nodes, *end], constants, ["batch", *IMAGE]), "node '", "batch|clips", "; "
    )


@pytest.mark.parametrize("operator", ["ConstantOfShape", "Expand"])
def test_number_of_clips__makes_no_giant_of_a_constant(operator: str):
    """zeros_like(x) takes no memory for thousands of clips, whether it can be read or not."""
    made = node(operator, ["sizes"] if operator == "ConstantOfShape" else ["one", "sizes"], ["zeros"])
    nodes = [CLIPS[0], made, node("Add", ["x", "zeros"], ["h"]), *END]
    model = model_of(nodes, {**BATCHED, "w": np.zeros((32 * 32, 1), np.float32)}, ["batch", 1, 32, 32])
    tracemalloc.start()
    try:
        assert_refused(model, "node '", "export")
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


# --- clips of a batch kept apart ----------------------------------------------------------------------------

MIXED = {
    "reshape without batch": (bad("Reshape", np.array([60])), "Reshape"),
    "reshape to one row": (bad("Reshape", np.array([1, -1])), "Reshape"),
    "reshape by halves": (bad("Reshape", np.array([-1, 30])), "Reshape"),
    "reshape by twos": (bad("Reshape", np.array([-1, 120])), "Reshape"),
    "reshape to no axes": (bad("Reshape", np.array([], np.int64)), "Reshape"),
    "reshape, batch behind": (bad("Reshape", np.array([60, -1])), "Reshape"),
    "reshape, sizes from the wrong axes": (bad("Reshape", np.array([-1, 0, 5, 0])), "Reshape"),
    "reshape to two free sizes": (bad("Reshape", np.array([-1, -1])), "Reshape"),
    "reshape to a negative size": (bad("Reshape", np.array([0, -2, -30])), "Reshape"),
    "reshape to nothing": (bad("Reshape", np.array([0, 0, 0, 0]), allowzero=1), "Reshape"),
    "reshape, batch empty": (bad("Reshape", np.array([0, 60]), allowzero=1), "Reshape"),
    "reshape, a size empty": (bad("Reshape", np.array([-1, 0, 6, 5]), allowzero=1), "Reshape"),
    "reshape, more zeros than axes": (bad("Reshape", np.array([0, 0, 0, 0, 0])), "Reshape"),
    "flatten all": (bad("Flatten", axis=0), "Flatten"),
    "flatten channels to the batch": (bad("Flatten", axis=2), "Flatten"),
    "flatten, counted from the end": (bad("Flatten", axis=-2), "Flatten"),
    "flatten behind the last axis": (bad("Flatten", axis=4), "Flatten"),
    "transpose by default": (bad("Transpose"), "Transpose"),
    "transpose batch and channel": (bad("Transpose", perm=[1, 0, 2, 3]), "Transpose"),
    "transpose too few": (bad("Transpose", perm=[0, 1]), "Transpose"),
    "transpose twice the same": (bad("Transpose", perm=[0, 1, 1, 2]), "Transpose"),
    "transpose beyond the axes": (bad("Transpose", perm=[0, 1, 2, 7]), "Transpose"),
    "transpose of nothing": (bad("Transpose", perm=[0]), "Transpose"),
    "squeeze batch": (bad("Squeeze", np.array([0])), "Squeeze"),
    "squeeze batch, counted from the end": (bad("Squeeze", np.array([-4])), "Squeeze"),
    "squeeze whatever is one": (bad("Squeeze"), "Squeeze"),
    "squeeze what is not one": (bad("Squeeze", np.array([1])), "Squeeze"),
    "squeeze beyond the axes": (bad("Squeeze", np.array([9])), "Squeeze"),
    "unsqueeze before the batch": (bad("Unsqueeze", np.array([0])), "Unsqueeze"),
    "unsqueeze before, counted from the end": (bad("Unsqueeze", np.array([-5])), "Unsqueeze"),
    "unsqueeze the same twice": (bad("Unsqueeze", np.array([1, 1])), "Unsqueeze"),
    "unsqueeze beyond the axes": (bad("Unsqueeze", np.array([7])), "Unsqueeze"),
    "mean of the batch": (bad("ReduceMean", axes=[0]), "ReduceMean"),
    "mean of the batch too": (bad("ReduceMean", axes=[-4, 2]), "ReduceMean"),
    "mean of all": (bad("ReduceMean"), "ReduceMean"),
    "mean beyond the axes": (bad("ReduceMean", axes=[6]), "ReduceMean"),
    "mean of the same twice": (bad("ReduceMean", axes=[2, 2]), "ReduceMean"),
    "mean of the same, counted from both ends": (bad("ReduceMean", axes=[2, -2], keepdims=0), "ReduceMean"),
    "maximum of the same twice": (bad("ReduceMax", axes=[3, 3], keepdims=0), "ReduceMax"),
    "maximum of the batch": (bad("ReduceMax", axes=[0]), "ReduceMax"),
    "maximum of all": (bad("ReduceMax"), "ReduceMax"),
    "pad the batch": (bad("Pad", np.array([1, 0, 0, 0, 0, 0, 0, 0])), "Pad"),
    "pad behind the batch": (bad("Pad", np.array([0, 0, 0, 0, 2, 0, 0, 0])), "Pad"),
    "pad less than nothing": (bad("Pad", np.array([0, 0, 0, 0, 0, 0, -1, 0])), "Pad"),
    "pad there and less here": (bad("Pad", np.array([0, 0, 1, 0, 0, 0, -1, 0])), "Pad"),
    "pad by reflection": (bad("Pad", np.array([0, 0, 1, 0, 0, 0, 1, 0]), mode="reflect"), "Pad"),
    "pad by the edge": (bad("Pad", np.array([0, 0, 1, 0, 0, 0, 1, 0]), mode="edge"), "Pad"),
    "pad too few axes": (bad("Pad", np.array([1, 1])), "Pad"),
    "pad in threes": (bad("Pad", np.array([0, 0, 1])), "Pad"),
}


@pytest.mark.parametrize(("mixed", "operator"), MIXED.values(), ids=MIXED)
def test_batch__whose_clips_are_mixed_or_lost(mixed: Step, operator: str):
    assert_node_refused(among(mixed), operator)


@pytest.mark.parametrize(
    "others",
    [
        [np.array([1, 0]), None, np.array([0])],
        [np.array([1, 0]), None, np.array([-4])],
        [np.array([1, 0]), None, np.array([4])],
        [np.array([1, 0, 0, 1]), None, np.array([2, 2])],
        [np.array([1, 0, 0, 1]), None, np.array([3])],
    ],
)
def test_pad__of_axes_that_it_cannot_have(others: list):
    assert_node_refused(among(bad("Pad", *others), opset=18), "Pad")


@pytest.mark.parametrize("axes", [[0], [-4], [0, 1, 2, 3], [], [4]])
@pytest.mark.parametrize("operator", ["ReduceMean", "ReduceMax"])
def test_reduction__of_axes_that_it_cannot_have(operator: str, axes: list[int]):
    assert_node_refused(among(bad(operator, np.array(axes, np.int64)), opset=18), operator)


def test_reduction__of_no_axes_may_mean_none():
    """`noop_with_empty_axes` makes it nothing at all, its default makes it the mean of everything."""
    assert_node_refused(among(bad("ReduceMean", noop_with_empty_axes=0), opset=18), "ReduceMean")


@pytest.mark.parametrize("batch", [2, 3])
def test_batch__of_a_fixed_number_that_is_mixed_into_classes(batch: int):
    """One bias for each clip, in a network that was made for as many clips as it has classes."""
    bias = bad("Gemm", numbers(4, 3), numbers(3, 1))
    assert_node_refused(chain(bias, shape=(4,), batch=3).model(), "Gemm")
    matrix = bad("Gemm", numbers(4, 3), numbers(batch, 3))
    assert_node_refused(chain(matrix, shape=(4,), batch=batch).model(), "Gemm")


def test_batch__of_a_fixed_number_with_a_constant_for_each_clip():
    for operator in ("Add", "Mul", "Sub", "Div"):
        model = chain(bad(operator, numbers(2, 1, 1, 1)), FLATTEN, CLASSES, shape=IMAGE, batch=2).model()
        assert_node_refused(model, operator, "clips")


# --- windows ------------------------------------------------------------------------------------------------

WINDOWS = {
    "larger than the input": {"kernel_shape": [7, 2]},
    "larger than the input with its pads": {"kernel_shape": [9, 2], "pads": [1, 0, 1, 0]},
    "larger when dilated": {"kernel_shape": [3, 2], "dilations": [3, 1]},
    "larger in ceil mode": {"kernel_shape": [9, 2], "strides": [2, 1], "ceil_mode": 1},
    "of too few axes": {"kernel_shape": [2]},
    "of too many axes": {"kernel_shape": [2, 2, 2]},
    "of no size": {"kernel_shape": [0, 2]},
    "of a negative size": {"kernel_shape": [-1, 2]},
    "that does not move": {"kernel_shape": [2, 2], "strides": [0, 1]},
    "that moves back": {"kernel_shape": [2, 2], "strides": [-1, 1]},
    "of too few strides": {"kernel_shape": [2, 2], "strides": [1]},
    "of too few pads": {"kernel_shape": [2, 2], "pads": [1, 1]},
    "of negative pads": {"kernel_shape": [2, 2], "pads": [0, -1, 0, 0]},
    "of pads as large as itself": {"kernel_shape": [2, 2], "pads": [2, 0, 0, 0]},
    "of unknown padding": {"kernel_shape": [2, 2], "auto_pad": "SAME"},
    "of padding that is no text": {"kernel_shape": [2, 2], "auto_pad": b"\xff\xfe"},
    "whose places are not next to each other": {"kernel_shape": [2, 2], "dilations": [0, 1]},
    "of too few dilations": {"kernel_shape": [2, 2], "dilations": [1]},
    "dilated, padded to the same size": {"kernel_shape": [2, 2], "dilations": [2, 2], "auto_pad": "SAME_UPPER"},
}


@pytest.mark.parametrize("given", WINDOWS.values(), ids=WINDOWS)
@pytest.mark.parametrize("operator", ["MaxPool", "AveragePool"])
def test_window__that_cannot_be(operator: str, given: dict):
    """The last: onnxruntime pads by the window before its dilation, where the standard says after."""
    if operator == "AveragePool" and "dilations" in given:
        assert_refused(among(bad(operator, **given)), "dilations", "export")
    else:
        assert_node_refused(among(bad(operator, **given)), operator)


POOLS_ALONE = ("ceil", "pads as large", "no size", "negative size", "dilated, padded")
OF_CONVOLUTIONS = {
    name: given for name, given in WINDOWS.items() if not any(part in name for part in POOLS_ALONE)
}


@pytest.mark.parametrize("given", OF_CONVOLUTIONS.values(), ids=OF_CONVOLUTIONS)
def test_window__of_a_convolution_that_cannot_be(given: dict):
    attributes = {key: value for key, value in given.items() if key != "kernel_shape"}
    assert_node_refused(
        among(bad("Conv", numbers(2, 2, *map(abs, given["kernel_shape"])), **attributes)), "Conv"
    )


def test_max_pool__that_counts_by_columns():
    """Its order says which of equal elements wins."""
    model = among(bad("MaxPool", kernel_shape=[2, 2], storage_order=1), n=40)
    assert_node_refused(model, "MaxPool", "storage_order")


@pytest.mark.parametrize(
    "steps",
    [
        [bad("MaxPool", kernel_shape=[2], dilations=[3], pads=[1, 1])],
        [step("Pad", np.array([0, 0, 3, 0, 0, 0]), np.asarray(-np.inf)), bad("MaxPool", kernel_shape=[2])],
    ],
)
def test_window__that_holds_nothing_but_padding(steps: list[Step]):
    """Nothing in it could win: relevance by a rule that ignores activations would go to some other element."""
    net = chain(step("Conv", numbers(2, 2, 1)), *steps, step("Relu"), step("GlobalAveragePool"), shape=(2, 2))
    model = replace(net, steps=(*net.steps, FLATTEN, dense(2))).model()
    assert_refused(model, "node '", "padd", "; ")


@pytest.mark.parametrize("operator", ["GlobalMaxPool", "GlobalAveragePool"])
def test_global_pool__without_space(operator: str):
    assert_node_refused(chain(bad(operator), dense(4), shape=(4,)).model(), operator)


@pytest.mark.parametrize(
    ("kernel", "bias", "attributes"),
    [
        ((4, 3, 1, 1), (4,), {}),
        ((4, 1, 1, 1), (4,), {}),
        ((3, 1, 1, 1), (3,), {"group": 2}),
        ((4, 2, 1, 1), (4,), {"group": 0}),
        ((4, 2, 1, 1), (4,), {"group": -1}),
        ((4, 2, 1, 1), (3,), {}),
        ((4, 2, 1, 1), (1,), {}),
        ((4, 2, 1, 1), (1, 4), {}),
        ((4, 2, 1, 1), (4, 1, 1), {}),
        ((4, 2, 1, 1), (4,), {"kernel_shape": [2, 1]}),
        ((4, 2, 1, 1), (4,), {"kernel_shape": [1]}),
        ((4, 2), (4,), {}),
        ((4,), (4,), {}),
        ((4, 2, 1), (4,), {}),
        ((4, 2, 1, 1, 1), (4,), {}),
        ((0, 2, 1, 1), (0,), {}),
    ],
)
def test_convolution__whose_shapes_do_not_fit(kernel: tuple, bias: tuple, attributes: dict):
    model = among(bad("Conv", numbers(*kernel), numbers(*bias), **attributes), n=120)
    assert_node_refused(model, "Conv")


def test_convolution__without_space():
    model = chain(bad("Conv", numbers(3, 4)), shape=(4,)).model()
    assert_node_refused(model, "Conv")


# --- dense layers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operator", "constants", "attributes", "shape"),
    [
        ("Gemm", [(4, 3)], {"transA": 1}, (4,)),
        ("Gemm", [(5, 3)], {}, (4,)),
        ("Gemm", [(4, 3)], {"transB": 1}, (4,)),
        ("Gemm", [(4,)], {}, (4,)),
        ("Gemm", [(1, 4, 3)], {}, (4,)),
        ("Gemm", [(4, 3), (4,)], {}, (4,)),
        ("Gemm", [(4, 3), (2,)], {}, (4,)),
        ("Gemm", [(4, 3), (3, 1)], {}, (4,)),
        ("Gemm", [(4, 3), (5, 3)], {}, (4,)),
        ("Gemm", [(4, 3), (1, 1, 3)], {}, (4,)),
        ("Gemm", [(4, 3)], {}, (2, 4)),
        ("MatMul", [(5, 3)], {}, (4,)),
        ("MatMul", [(4,)], {}, (4,)),
        ("MatMul", [(1, 4, 3)], {}, (4,)),
        ("MatMul", [(2, 4, 3)], {}, (2, 4)),
        ("MatMul", [()], {}, (4,)),
    ],
)
def test_dense__whose_shapes_do_not_fit(operator: str, constants: list, attributes: dict, shape: tuple):
    weights = [numbers(*each) for each in constants]
    model = chain(
        bad(operator, *weights, **attributes), *([FLATTEN] if len(shape) > 1 else []), shape=shape
    ).model()
    assert_node_refused(model, operator)


# --- constants added and multiplied -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operator", "constant", "place"),
    [
        ("Add", numbers(5), 0),
        ("Add", numbers(6, 1), 0),
        ("Add", numbers(2, 6, 5), 0),
        ("Add", numbers(1, 1, 1, 5), 0),
        ("Add", numbers(2, 2, 1, 1), 0),
        ("Add", numbers(1, 1, 2, 1, 1), 0),
        ("Sub", numbers(2, 1, 1), 1),
        ("Sub", numbers(5), 0),
        ("Mul", numbers(2, 1, 1), 0),
        ("Mul", np.asarray(2.0), 0),
        ("Mul", np.asarray(1.0), 1),
        ("Div", np.asarray(2.0), 0),
        ("Div", np.asarray(2.0), 1),
    ],
)
def test_constant__behind_weights_that_is_no_bias(operator: str, constant: np.ndarray, place: int):
    """A number for every element, not one for every channel; or a factor."""
    assert_node_refused(behind_weights(bad(operator, constant, place=place)), operator, "; ")


@pytest.mark.parametrize("operator", ["Add", "Sub", "Mul", "Div"])
@pytest.mark.parametrize(
    "then", [step("Relu"), step("Transpose", perm=[0, 2, 3, 1]), step("MaxPool", kernel_shape=[1, 1])]
)
def test_constant__behind_another_layer(then: Step, operator: str):
    """A bias stands directly behind its layer."""
    assert_node_refused(behind_weights(then, bad(operator, np.asarray(0.5))), operator, "; ")


NOT_FITTING = [
    (3,),
    (1, 3),
    (3, 2, 6, 5),
    (2, 1, 6, 5),
    (2, 5, 1),
    (1, 1, 2, 6, 5),
    (1, 1, 1, 1, 1),
    (3, 1, 1, 1, 1),
]


@pytest.mark.parametrize("shape", NOT_FITTING)
@pytest.mark.parametrize("operator", ["Add", "Sub", "Mul", "Div"])
def test_constant__before_weights_that_does_not_fit(operator: str, shape: tuple[int, ...]):
    assert_node_refused(chain(bad(operator, numbers(*shape)), FLATTEN, CLASSES, shape=IMAGE).model(), operator)


@pytest.mark.parametrize("operator", ["Add", "Mul"])
def test_constant__that_makes_the_input_larger(operator: str):
    net = chain(bad(operator, numbers(4, 1, 1)), FLATTEN, dense(120), shape=(1, 6, 5))
    assert_node_refused(net.model(), operator, "larger")


@pytest.mark.parametrize(
    "constant", [numbers(1, 3, 1), numbers(1, 1, 3), numbers(1, 1, 1), numbers(3, 1), numbers(2, 3)]
)
def test_constant__behind_a_dense_layer_that_gives_it_another_axis(constant: np.ndarray):
    """The sum of (batch, 3) and (1, 3, 1) has three axes."""
    assert_node_refused(chain(dense(4), bad("Add", constant), shape=(4,)).model(), "Add")


@pytest.mark.parametrize("constant", [np.asarray(0.0), np.array([1.0, 0.0]).reshape(2, 1, 1)])
def test_division__by_zero(constant: np.ndarray):
    assert_node_refused(chain(bad("Div", constant), FLATTEN, CLASSES, shape=IMAGE).model(), "Div", "zero", "; ")


def test_division__by_less_than_can_be_inverted():
    """x / 1e-40 is a number for small x; x times 1 / 1e-40 is not in single precision."""
    assert_node_refused(chain(bad("Div", np.asarray(1e-40)), FLATTEN, CLASSES, shape=IMAGE).model(), "Div")


# --- clip, dropout ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "others",
    [
        [],
        [None, np.asarray(6.0)],
        [np.asarray(0.0), np.asarray(6.0)],
        [np.asarray(-1.0)],
        [np.asarray(1e-3)],
        [np.asarray(0.0), np.asarray(np.nan)],
        [np.asarray(np.nan)],
        [np.asarray(0.0), np.asarray(-np.inf)],
        [np.asarray(-np.inf), np.asarray(np.inf)],
        [np.zeros(2)],
        [np.zeros((0,))],
    ],
)
@pytest.mark.parametrize("opset", [11, 12, 13])
def test_clip__that_is_no_relu(others: list, opset: int):
    assert_node_refused(among(bad("Clip", *others), opset=opset), "Clip", "ReLU")


@pytest.mark.parametrize("opset", [12, 13, 18])
@pytest.mark.parametrize("ratio", [None, np.asarray(0.5)])
def test_dropout__in_training(ratio: np.ndarray | None, opset: int):
    assert_node_refused(
        among(bad("Dropout", ratio, np.asarray(True)), opset=opset), "Dropout", "training", "inference"
    )


def test_dropout__switched_by_an_input():
    model = among(step("Dropout", None, np.asarray(False)))
    switch = model.graph.node[1].input[2]
    model.graph.input.append(helper.make_tensor_value_info(switch, TensorProto.BOOL, []))
    kept = [each for each in model.graph.initializer if each.name != switch]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    assert_refused(model, f"'x', '{switch}'", "export one")


# --- flags --------------------------------------------------------------------------------------------------

FLAGS = {
    "keepdims": bad("ReduceMean", axes=[2], keepdims=2),
    "keepdims of a maximum": bad("ReduceMax", axes=[2], keepdims=-1),
    "ceil_mode": bad("MaxPool", kernel_shape=[2, 2], ceil_mode=2),
    "ceil_mode of a mean": bad("AveragePool", kernel_shape=[2, 2], ceil_mode=-1),
    "count_include_pad": bad("AveragePool", kernel_shape=[2, 2], pads=[1, 1, 1, 1], count_include_pad=2),
    "allowzero": bad("Reshape", np.array([0, -1]), allowzero=2),
}


@pytest.mark.parametrize("flagged", FLAGS.values(), ids=FLAGS)
def test_flag__that_is_neither_0_nor_1(flagged: Step):
    """Runtimes differ in what they make of it."""
    assert_node_refused(among(flagged), flagged.operator)


@pytest.mark.parametrize("name", ["transA", "transB"])
def test_flag__of_a_dense_layer_that_is_neither_0_nor_1(name: str):
    model = chain(bad("Gemm", numbers(3, 3), **{name: 2}), shape=(3,)).model()
    assert_node_refused(model, "Gemm")


# --- malformed graphs ---------------------------------------------------------------------------------------


def test_graph__with_a_constant_of_two_values():
    """The format's checker lets it through; runtimes take one or the other."""
    value = numpy_helper.from_array(np.float32(3))
    nodes = [
        node("Constant", [], ["k"], name="bad", value_float=1.0, value=value),
        node("Mul", ["x", "k"], ["h"]),
        *END,
    ]
    assert_node_refused(model_of(nodes, WEIGHTS, ["batch", *IMAGE]), "Constant")


def test_graph__with_an_attribute_that_refers_to_a_function():
    model = among(bad("Transpose", perm=[0, 1, 3, 2]))
    model.graph.node[1].attribute[0].ref_attr_name = "order"
    assert_refused(model, "bad|function|attribute", "export")


def test_graph__without_nodes():
    model = PLAIN.model()
    del model.graph.node[:]
    assert_refused(model, "valid|output", "export")


def test_graph__in_the_wrong_order():
    model = PLAIN.model()
    nodes = list(model.graph.node)[::-1]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    assert_refused(model, "valid", "export")


def test_graph__that_names_a_tensor_twice():
    model = PLAIN.model()
    model.graph.node[1].output[0] = "t0"
    assert_refused(model, "valid", "export")


def test_graph__with_a_weight_that_is_missing():
    model = PLAIN.model()
    del model.graph.initializer[0]
    assert_refused(model, "y_c0|valid", "export")


def test_graph__with_sparse_weights():
    model = PLAIN.model()
    values = helper.make_tensor("y_c0", TensorProto.FLOAT, [1], [1.0])
    indices = helper.make_tensor("places", TensorProto.INT64, [1], [0])
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [60, 3]))
    del model.graph.initializer[0]
    assert_refused(model, "y_c0|constant|sparse", "export")


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int64])
def test_graph__of_two_precisions(dtype: type):
    model = PLAIN.model()
    weights = numpy_helper.from_array(numbers(60, 3).astype(dtype), "y_c0")
    model.graph.initializer[0].CopyFrom(weights)
    assert_refused(model, "type|precision|valid", "export")


def test_composites__that_are_not_known_or_twice_are_refused_before_anything_else():
    from toolkit.errors import ConfigError

    for composites, match in (
        (["lrp.nothing"], "lrp.nothing"),
        (["gradient"] * 2, "twice"),
        ([], "no composite"),
    ):
        with pytest.raises(ConfigError, match=match):
            compile_relevance(PLAIN.model(), composites)
