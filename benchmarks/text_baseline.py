"""What a bag of character n-grams knows of a text file: logistic regression on TF-IDF.

    python benchmarks/text_baseline.py --data movie_snippets.tsv

Splits are those of ``nacgraph train --task text --data …``. Nothing is tuned.
"""

from __future__ import annotations

import argparse

from nacgraph.tasks.text import Text


def main() -> None:
    """Fit on train, print the accuracy on the other splits."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--data", required=True)
    task = Text(data=parser.parse_args().data)
    tables = {name: task.table(name) for name in ("train", "val", "test")}
    texts = {
        k: [b.decode("utf-8", "replace") for b in t.columns["text"]] for k, t in tables.items()
    }
    for kind, ngrams in (("char_wb", (1, 5)), ("word", (1, 2))):
        model = make_pipeline(
            TfidfVectorizer(analyzer=kind, ngram_range=ngrams, sublinear_tf=True, min_df=2),
            LogisticRegression(C=4.0, max_iter=1000),
        )
        model.fit(texts["train"], tables["train"].labels)
        scores = {k: model.score(texts[k], tables[k].labels) for k in ("val", "test")}
        print(f"{kind} {ngrams}: " + ", ".join(f"{k} {100 * v:.1f} %" for k, v in scores.items()))


if __name__ == "__main__":
    main()
