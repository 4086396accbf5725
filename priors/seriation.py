"""Cold starts for graph matching: guesses good enough for a local search to finish.

A local search mends wrong places, not wrong wholes: it never turns a ring by one clique, nor
trades one community for another. These guesses look at wholes. All take O(n^2) memory.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import cut_tree, leaves_list, linkage, optimal_leaf_ordering
from scipy.spatial.distance import squareform

TURNED = 256  # modules up to which a tree's leaves are turned: it takes O(n^3) and more
Matrix = NDArray[np.float64]
Permutation = NDArray[np.int64]


def guesses(target: Matrix, link: Matrix) -> list[Permutation]:
    """Permutations that may carry ``link`` to ``target``; both symmetric with zero diagonal.

    In order of degree; as communities in order of size; and as rings (of modules, and of
    communities), each turned to its best place in either direction.
    """
    if len(target) < 3:
        return []
    tree, other = _tree(target), _tree(link)
    gaps = np.diff(tree[:, 2])
    groups = len(tree) - int(gaps.argmax())  # clusters left where merging becomes dearest
    label = cut_tree(tree, n_clusters=groups)[:, 0]
    other_label = cut_tree(other, n_clusters=groups)[:, 0]
    found = [
        _aligned(np.argsort(target.sum(1)), np.argsort(link.sum(1))),
        _aligned(_by_size(label), _by_size(other_label)),
    ]
    for order, leaves in (
        (leaves_list(tree), leaves_list(other)),
        (_chain(target, label), _chain(link, other_label)),
    ):
        ring = target[np.ix_(order, order)]
        for turned in (leaves, leaves[::-1]):
            shift = _best_turn(ring, link[np.ix_(turned, turned)])
            found.append(_aligned(order, np.roll(turned, -shift)))
    return found


def _aligned(order: Permutation, leaves: Permutation) -> Permutation:
    """The permutation that puts ``leaves[k]`` of the link in the place ``order[k]``."""
    permutation = np.empty(len(order), dtype=np.int64)
    permutation[order] = leaves
    return permutation


def _tree(likeness: Matrix) -> Matrix:
    """Average-linkage tree with its leaves turned so that neighbours are alike.

    Alike is who shares neighbours: a lone link between two cliques is as strong as one within,
    and only the company it keeps tells them apart.
    """
    linked = likeness + likeness.max() * np.eye(len(likeness))
    shared = linked @ linked
    distance = shared.max() - shared
    np.fill_diagonal(distance, 0.0)
    flat = squareform(distance, checks=False)
    tree = linkage(flat, "average")
    return optimal_leaf_ordering(tree, flat) if len(linked) <= TURNED else tree


def _best_turn(ring: Matrix, other: Matrix) -> int:
    r"""The k with the largest :math:`\sum_{ij} X_{ij} Y_{i+k, j+k}`, all n at once by FFT."""
    spectrum = np.conj(np.fft.rfft2(ring)) * np.fft.rfft2(other)
    return int(np.fft.irfft2(spectrum, s=ring.shape).diagonal().argmax())


def _by_size(label: Permutation) -> Permutation:
    """Modules, the largest community first."""
    return np.lexsort((label, -np.bincount(label)[label]))


def _chain(likeness: Matrix, label: Permutation) -> Permutation:
    """Modules with their communities in a chain of strongest links.

    Links between communities are taken from the strongest down, unless one of the two already
    has two or a circle would close. Within a community, whoever is linked to the next one comes
    last and whoever is linked to the one before comes first.
    """
    groups = int(label.max()) + 1
    rows = np.stack([likeness[label == group].max(0) for group in range(groups)])
    bond = np.stack([rows[:, label == group].max(1) for group in range(groups)])
    first, second = np.triu_indices(groups, k=1)
    chain = {group: [group] for group in range(groups)}  # every end of a chain knows the chain
    for edge in np.argsort(-bond[first, second], kind="stable"):
        a, b = int(first[edge]), int(second[edge])
        if a not in chain or b not in chain or chain[a] is chain[b]:
            continue
        left, right = chain.pop(a), chain.pop(b)
        left = left if left[-1] == a else left[::-1]
        right = right if right[0] == b else right[::-1]
        chain[left[0]] = chain[right[-1]] = left + right
        if len(left) + len(right) == groups:
            break
    path = next(iter(chain.values()))
    order = []
    for place, group in enumerate(path):
        members = np.flatnonzero(label == group)
        pull = rows[path[(place + 1) % groups], members] - rows[path[place - 1], members]
        order.append(members[np.argsort(pull, kind="stable")])
    return np.concatenate(order)
