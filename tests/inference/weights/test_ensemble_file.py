from inference.findings import FEATURES, Classifier
from inference.weights.ensemble_file import EnsembleFile, FoldEntry, in_common

ENTRIES = tuple(FoldEntry(fold=fold, file=f"fold{fold}.safetensors", sha256="0") for fold in (0, 2))
CLASSIFIER = Classifier(weights=dict.fromkeys(FEATURES, 1.0), intercept=-4)
CHOSEN = EnsembleFile(folds=ENTRIES[:1], tta_ops=("identity", "hflip"), threshold=0.35, classifier=CLASSIFIER)


def test_folds_chosen_for_together_keep_their_choices() -> None:
    other = CHOSEN.model_copy(update={"folds": ENTRIES[1:]})
    assert in_common([CHOSEN, other], ENTRIES) == CHOSEN.model_copy(update={"folds": ENTRIES})


def test_folds_chosen_for_apart_share_what_they_have_in_common() -> None:
    other = EnsembleFile(folds=ENTRIES[1:], tta_ops=("identity", "hflip", "vflip"), threshold=0.45)
    shared = in_common([CHOSEN, other], ENTRIES)
    assert shared == EnsembleFile(folds=ENTRIES, tta_ops=("identity", "hflip"), threshold=0.4)
    assert shared.classifier is None
