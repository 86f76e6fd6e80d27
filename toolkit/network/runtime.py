"""TensorFlow's settings for one process: how many threads, which seed, which mode.

They can be set only once, before the first model: each job that needs TensorFlow has a process of its own.
"""

import importlib.util
import os
import warnings

from toolkit.errors import DependencyError


def prepare(*, n_threads: int, seed: int = 0, eager: bool = True) -> None:
    """Make TensorFlow deterministic in this process.

    Parameters
    ----------
    n_threads
        Threads of one operation; other numbers give slightly other results.
    seed
        Of everything that TensorFlow and Keras draw.
    eager
        False for innvestigate, which needs graph mode before the first model is built.

    Raises
    ------
    DependencyError
        TensorFlow is not installed here.
    """
    require()
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")
    tf.config.threading.set_intra_op_parallelism_threads(n_threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    if not eager:
        tf.compat.v1.disable_eager_execution()
        # Keras says so of itself whenever a model predicts in graph mode; nobody can act on it.
        warnings.filterwarnings("ignore", message=".*state_updates", category=UserWarning)
    tf.config.experimental.enable_op_determinism()
    tf.keras.utils.set_random_seed(seed)


def require() -> None:
    """Look for TensorFlow without importing it.

    Raises
    ------
    DependencyError
        TensorFlow is not installed here.
    """
    if importlib.util.find_spec("tensorflow") is None:
        raise DependencyError(
            "TensorFlow 2.14 is not installed here: training, export and innvestigate need Python 3.11 and "
            "`pip install 'audio-lrp-toolkit[train]'`, or the image `full`"
        )
