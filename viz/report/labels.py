"""What statistics and columns are called in the report, and what each one means."""

from __future__ import annotations

from nacgraph.viz.report.values import words

VIEWS = {
    "probability": ("on P", "the weighted graph of link probabilities"),
    "threshold": ("on P > 0.5", "links more likely than not"),
    "sampled": ("on sampled graphs", "mean ± sd over draws"),
}

# Key: (label, meaning). Keys that are not here are shown as they are.
MEANING = {
    "nodes": ("modules", "number of processor modules"),
    "links": ("links", "pairs that are linked; the expected number on P"),
    "density": ("density", "links over pairs"),
    "mean_degree": ("mean degree", "links of a module to others, on average"),
    "degree_sd": ("sd of degree", "spread of degree over modules"),
    "degree_max": ("largest degree", "links of the most connected module"),
    "degree_gini": ("Gini of degree", "0 if all degrees are equal, near 1 if one module has all"),
    "degrees": ("degrees", "one value a module, largest first"),
    "ccdf": ("CCDF of degree", "share of modules with at least this degree"),
    "hubs": ("hubs", "modules whose degree lies far above the mean"),
    "isolated": ("isolated modules", "modules without a link to another; expected number on P"),
    "components": ("components", "parts without a link between them"),
    "largest_component": ("largest component", "modules in it"),
    "local_clustering": ("local clustering", "one value a module, largest first"),
    "clustering": ("clustering", "how often two neighbours of a module are linked"),
    "transitivity": ("transitivity", "closed triples over all triples"),
    "path_length": ("path length", "shortest path between two linked modules, on average"),
    "diameter": ("diameter", "the longest of the shortest paths"),
    "global_efficiency": ("global efficiency", "mean of 1 / shortest path"),
    "reliability": ("reliability", "mean probability of the most probable path"),
    "modularity": ("modularity", "links inside communities above those expected by degree"),
    "communities": ("communities", "in the partition with the highest modularity"),
    "agreement": ("agreement", "adjusted Rand index between searches from different seeds"),
    "assortativity": ("assortativity", "correlation of degrees at the two ends of a link"),
    "cores": ("core numbers", "one value a module, largest first"),
    "core_max": ("largest core number", "the largest k that has a k-core"),
    "spectral_gap": ("spectral gap", "of the normalised Laplacian of the largest component"),
    "algebraic_connectivity": ("algebraic connectivity", "second eigenvalue of the Laplacian"),
    "spectral_embedding": ("spectral embedding", "places of modules by leading eigenvectors"),
    "sigma": ("small-worldness σ", "clustering over path length, each relative to null graphs"),
    "sigma_efficiency": ("σ by efficiency", "as σ, with efficiency in place of path length"),
    "omega": ("small-worldness ω", "null over own path length minus own over lattice clustering"),
    "bic": ("BIC", "Bayesian information criterion; lower is better"),
    "xmin": ("xmin", "degree at which the tail begins"),
    "tail": ("modules in the tail", "modules with at least that degree"),
    "alpha": ("α", "exponent of the power law"),
    "ks": ("KS distance", "largest gap between the two distribution functions"),
    "goodness": ("goodness of fit p", "share of power-law samples that fit no better"),
    "ratio": ("log-likelihood ratio", "positive favours the power law"),
    "sampled": ("on sampled graphs", "degrees of graphs drawn from P"),
    "alternatives": ("power law against", "likelihood-ratio tests"),
    "poisson": ("Poisson law", ""),
}

# Columns of the module table, in this order; others follow.
COLUMNS = {
    "degree": ("degree", "expected degree: the sum of P over all other modules"),
    "degree_threshold": ("at P > 0.5", "number of links with P > 0.5"),
    "clustering": ("clustering", "how often two neighbours are linked"),
    "core": ("core", "largest k such that the module is in the k-core"),
    "community": ("community", "of the partition with the highest modularity"),
    "role": ("role", "what the module reads most"),
    "contribution": ("contribution", "loss gained without it, estimated on all samples"),
    "accuracy_lost": ("accuracy lost", "accuracy without removal minus accuracy with this one out"),
    "loss_gained": ("loss gained", "loss with this module removed minus loss without removal"),
    "read_entropy": ("read entropy", "entropy of the read-in attention over tokens"),
    "top_tokens": ("top tokens", "tokens that get most of the read-in attention, and their share"),
    "confidence": ("confidence", "share in the answer"),
    "read_entropy_relative": ("relative", "read entropy over the largest possible"),
    "position": ("reads at", "mean place of what is read: 0 the beginning, 1 the end"),
    "confidence_sd": ("sd", "of confidence over samples"),
    "confidence_largest": ("leads", "share of samples in which it is the most confident"),
}


def label(key: str) -> tuple[str, str]:
    """Label and meaning of a statistic; both are made of the key where it is not known."""
    *before, last = key.split(" · ")
    title, meaning = MEANING.get(last, (words(last), ""))
    return " · ".join([*(words(part) for part in before), title]), meaning


def column_label(key: str) -> tuple[str, str]:
    """Heading and meaning of a column of the module or the read-out table."""
    return COLUMNS.get(key) or label(key)
