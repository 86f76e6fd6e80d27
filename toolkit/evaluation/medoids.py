"""Examples that stand for many: the members of a set to which all members are nearest in sum (k-medoids).

Members are spread over the bins of an axis, as recordings spread their relevance over frequency: shares, not
negative, of sum 1. How far two lie apart is the earth mover's distance, in bins: how many bins all of one must
be moved to become the other. So two recordings with the same sound one bin higher are near, which they would
not be if bins were compared one by one.

The search is PAM (Kaufman and Rousseeuw 1990): begin greedily, then exchange one medoid at a time while that
helps. What it ends with no single exchange betters; it is exact for one medoid. It draws nothing at random.
"""

from dataclasses import dataclass

import numpy as np

MOST_SEARCHED = 2000
"""Members among which medoids are looked for; memory grows with the square."""


@dataclass(frozen=True)
class Medoids:
    """Members that stand for others, the one with the most others first."""

    member: np.ndarray
    """Number of each, shape (medoid,)."""
    n_nearest: np.ndarray
    """How many members have it for their nearest medoid, itself among them, shape (medoid,)."""


def find(shares: np.ndarray, n_medoids: int) -> Medoids:
    """Return the medoids of some members: as many as asked for, or all members where there are fewer.

    Parameters
    ----------
    shares
        Finite, shape (member, bin). Of more than ``MOST_SEARCHED``, that many, evenly spread over their
        order, can become medoids, and decide which do.
    n_medoids
        At least 1.
    """
    searched = np.unique(np.linspace(0, len(shares) - 1, min(len(shares), MOST_SEARCHED)).astype(np.int64))
    among = distances(shares[searched], shares[searched])
    member = searched[_search(among, min(n_medoids, len(searched)))]
    nearest = distances(shares, shares[member]).argmin(axis=1)
    n_nearest = np.bincount(nearest, minlength=len(member))
    order = np.lexsort((member, -n_nearest))
    return Medoids(member[order], n_nearest[order])


def distances(shares: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the earth mover's distance of every member to every other, in bins, shape (member, other)."""
    from scipy.spatial.distance import cdist

    return np.asarray(cdist(np.cumsum(shares, axis=1), np.cumsum(others, axis=1), "cityblock"))


def cost(distance: np.ndarray, chosen: np.ndarray) -> float:
    """Return the sum over members of the distance to the nearest of the chosen ones."""
    return float(distance[:, chosen].min(axis=1).sum())


def _search(distance: np.ndarray, n_medoids: int) -> np.ndarray:
    """Return the medoids of members whose distances are known, shape (medoid,)."""
    chosen = np.array([], np.int64)
    for _ in range(n_medoids):
        chosen = np.append(chosen, _costs_with(distance, chosen).argmin())
    while n_medoids:
        exchanges = [np.delete(chosen, place) for place in range(n_medoids)]
        costs = np.stack([_costs_with(distance, others) for others in exchanges])
        place, candidate = np.unravel_index(costs.argmin(), costs.shape)
        exchanged = np.append(exchanges[int(place)], candidate)
        if cost(distance, exchanged) >= cost(distance, chosen) * (1 - 1e-12):
            break
        chosen = exchanged
    return chosen


def _costs_with(distance: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Return the cost of the chosen and each further candidate, shape (member,); infinite for the chosen."""
    known = distance[:, chosen].min(axis=1, initial=np.inf)
    costs = np.minimum(known[:, None], distance).sum(axis=0)
    costs[chosen] = np.inf
    return np.asarray(costs)
