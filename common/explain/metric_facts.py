"""What a reader has to know about each metric: its name in words, which way is better, what it measures."""

from __future__ import annotations

from typing import NamedTuple

from common.explain.baselines import BASELINES

SEGMENTATION, UNCERTAINTY = "Segmentation", "Uncertainty"
LOCALISATION, PROTOTYPES, BRANCHES = "Localisation", "Prototypes", "Branches"
ZERO_SHOT = "Zero-shot"
"""What is measured of networks that are asked by sentences, which has a section of its own."""
DISEASES = "Diseases"
"""What is measured of one disease alone, which has tables of its own."""
BRANCH_NAMES = {"student": "Student", "teacher": "Teacher"}
"""Parts of a network whose metrics are named ``<branch>/<metric>``, in words."""


class Fact(NamedTuple):
    """A metric's name in words, which way is better, what it measures, and the table it stands in."""

    title: str
    better: str
    hint: str
    group: str = ""


FACTS = {
    "accuracy": Fact("Accuracy", "higher", "share of right answers"),
    "balanced_accuracy": Fact("Balanced accuracy", "higher", "mean of the classes' recalls"),
    "kappa": Fact("Cohen's kappa", "higher", "by how much the agreement exceeds that of chance"),
    "auroc": Fact("AUROC", "higher", "area under the ROC curve, mean over classes"),
    "average_precision": Fact("Average precision", "higher", "mean over classes"),
    "f1": Fact("F1", "higher", "mean over classes"),
    "sensitivity_at_specificity": Fact(
        "Sensitivity at specificity", "higher", "at the best threshold with at least this specificity"
    ),
    "specificity_at_sensitivity": Fact(
        "Specificity at sensitivity", "higher", "at the best threshold with at least this sensitivity"
    ),
    "subset_accuracy": Fact("Wholly right", "higher", "share of cases of which every answer is right"),
    "hamming_loss": Fact("Wrong answers", "lower", "share of the answers to all diseases"),
    "jaccard": Fact("Jaccard", "higher", "diseases present and predicted, of those present or predicted"),
    "f1_micro": Fact("F1 of all answers", "higher", "of all diseases together"),
    "ranking_loss": Fact("Ranking loss", "lower", "share of absent diseases ranked above present ones, within a case"),
    "coverage_error": Fact("Coverage", "lower", "diseases to read, most probable first, to meet all that are present"),
    "threshold": Fact("Threshold", "", "with the largest F1 on another split"),
    "branch_agreement": Fact("Branches that agree", "", "share of cases that all branches decide alike", BRANCHES),
    "aopc": Fact("AOPC", "higher", "how far the probability falls while the map's brightest patches are removed"),
    "pompom": Fact("POMPOM", "lower", "share of the pixels outside the known region that the map marks"),
    "energy_in_roi": Fact("Energy in region", "higher", "share of the map's sum inside the known region"),
    "pointing_game": Fact(
        "Pointing game", "higher", "share of cases whose highest map value is inside the known region"
    ),
    "roi_area": Fact("Area of the region", "", "share of the image that the known region covers"),
    "pointing_chance": Fact("Pointing by chance", "", "what a map without any preference scores in the pointing game"),
    "pr_auc_iou": Fact(
        "Average precision of boxes, IoU", "higher", "a box is right if it overlaps a true one so far", LOCALISATION
    ),
    "froc": Fact(
        "Sensitivity, false marks per image",
        "higher",
        "share of the findings that are marked, so many allowed",
        LOCALISATION,
    ),
    "weak_threshold": Fact("Threshold of the map", "", "share of its range, chosen on another split", LOCALISATION),
    "t_iou": Fact("Boxed, IoU above", "higher", "share of the findings whose box is met so far", LOCALISATION),
    "t_iou_all": Fact("One box round all, IoU above", "higher", "one box round all that is marked", LOCALISATION),
    "t_iou_mask": Fact("Pixels, IoU above", "higher", "what is marked, without a box", LOCALISATION),
    "t_iou_chance": Fact("Whole image, IoU above", "", "one box round the whole image", LOCALISATION),
    "energy_in_box": Fact(
        "Energy in boxes", "higher", "share of the map's sum inside the disease's boxes", LOCALISATION
    ),
    "box_threshold": Fact("Threshold of the boxes", "", "share of a map's range, of another split", LOCALISATION),
    "entanglement": Fact(
        "Entanglement", "lower", "share of the best places inside boxes of other diseases, where both are", PROTOTYPES
    ),
    "entanglement_chance": Fact("Entanglement by chance", "", "of places drawn at random", PROTOTYPES),
    "entanglement_absent": Fact(
        "Entanglement where absent", "lower", "of prototypes whose disease the case does not have", PROTOTYPES
    ),
    "entanglement_absent_chance": Fact("The same by chance", "", "of places drawn at random", PROTOTYPES),
    "prototype_in_box": Fact("In their own box", "higher", "share of the best places inside it", PROTOTYPES),
    "prototype_in_box_chance": Fact("In their own box by chance", "", "of places drawn at random", PROTOTYPES),
    "prototype_purity": Fact("Purity", "higher", "share of the most similar cases that have its class", PROTOTYPES),
    "prototype_purity_chance": Fact("Purity by chance", "", "of cases drawn at random", PROTOTYPES),
    "prototype_class_specificity": Fact(
        "Class specificity", "higher", "chance that a case of its class is more similar than another one", PROTOTYPES
    ),
    "prototype_relevance": Fact(
        "Relevance", "higher", "share of the best places that touch the known region", PROTOTYPES
    ),
    "prototype_relevance_chance": Fact("Relevance by chance", "", "of places drawn at random", PROTOTYPES),
    "prototype_coverage": Fact(
        "Coverage", "higher", "cases among the most similar ones of any prototype, of as many as could be", PROTOTYPES
    ),
    "prototype_uniqueness": Fact(
        "Uniqueness", "higher", "share of prototypes that are no copies of others", PROTOTYPES
    ),
    "prototype_spread": Fact("Mean squared distance", "", "of two prototypes; near 0 they have collapsed", PROTOTYPES),
    "prototype_place_stability": Fact(
        "Same place", "higher", "share of the foremost prototypes found within a cell of where they were", PROTOTYPES
    ),
    "prototype_order_stability": Fact(
        "Same order", "higher", "rank correlation of the prototypes' contributions", PROTOTYPES
    ),
    "zero_shot_auroc": Fact("Zero-shot AUROC", "higher", "of sentences that state and deny a finding", ZERO_SHOT),
    "zero_shot_average_precision": Fact("Zero-shot average precision", "higher", "of the same", ZERO_SHOT),
    "zero_shot_prevalence": Fact("Prevalence", "", "average precision of a guess", ZERO_SHOT),
    "zero_shot_text_side": Fact("Side by words", "higher", "whether left and right find their side", ZERO_SHOT),
    "sentence_pointing": Fact("Pointing, sentences", "higher", "share of findings that are pointed at", ZERO_SHOT),
    "word_pointing": Fact("Pointing, words", "higher", "share of findings that are pointed at", ZERO_SHOT),
    "word_pointing_chance": Fact("Pointing by chance", "", "of a point anywhere in the breast", ZERO_SHOT),
    "retrieval": Fact("Retrieval", "higher", "share of questions answered among the first", ZERO_SHOT),
    "map_auprc": Fact("Average precision of M", "higher", "of the pixels of findings", ZERO_SHOT),
    "map_auprc_chance": Fact("The same by chance", "", "share of the breast that findings cover", ZERO_SHOT),
    "map_dice": Fact("Dice of M", "higher", "of its highest pixels and the findings", ZERO_SHOT),
    "dice": Fact("Dice", "higher", "overlap of predicted and true structure", SEGMENTATION),
    "iou": Fact("IoU", "higher", "overlap of predicted and true structure, as a share of their union", SEGMENTATION),
    "hd95": Fact("95 % Hausdorff distance", "lower", "of the outlines, in pixels", SEGMENTATION),
    "assd": Fact("Mean surface distance", "lower", "of the outlines, in pixels", SEGMENTATION),
    "presence_error": Fact(
        "Wrongly absent or present", "lower", "share of cases that only one of prediction and truth has", SEGMENTATION
    ),
    "cup_to_disc": Fact("Cup-to-disc ratio", "", "vertical, predicted", SEGMENTATION),
    "cup_to_disc_true": Fact("True cup-to-disc ratio", "", "vertical", SEGMENTATION),
    "cup_to_disc_error": Fact("Error of the cup-to-disc ratio", "lower", "vertical; lower is better", SEGMENTATION),
    "ece": Fact("ECE", "lower", "mean difference of confidence and accuracy over bins; lower is better", UNCERTAINTY),
    "mce": Fact("MCE", "lower", "largest difference of confidence and accuracy; lower is better", UNCERTAINTY),
    "brier": Fact("Brier score", "lower", "squared error of the probabilities, 0 to 2; lower is better", UNCERTAINTY),
    "nll": Fact("NLL", "lower", "mean surprise at the true class, in nats; lower is better", UNCERTAINTY),
    "temperature": Fact("Temperature", "", "fitted on another split; above 1 the network is too sure", UNCERTAINTY),
    "aurc": Fact("AURC", "lower", "area under the risk-coverage curve; lower is better", UNCERTAINTY),
    "excess_aurc": Fact("Excess AURC", "lower", "above that of a perfect ranking; lower is better", UNCERTAINTY),
    "error_auroc": Fact(
        "Error detection", "higher", "chance that an error is more uncertain than a right answer", UNCERTAINTY
    ),
    "mean_uncertainty": Fact("Mean uncertainty", "", "of the decisions", UNCERTAINTY),
    "mean_least_confidence": Fact("Mean least confidence", "", "1 less the largest probability", UNCERTAINTY),
    "mean_mutual_information": Fact(
        "Mean mutual information", "", "the part of the entropy that evidence would remove", UNCERTAINTY
    ),
    "mean_dissonance": Fact("Mean dissonance", "", "how far the evidence contradicts itself", UNCERTAINTY),
    "mean_pixel_uncertainty": Fact("Mean pixel uncertainty", "", "over the pixels of all cases", UNCERTAINTY),
    "pixel_error_auroc": Fact(
        "Error detection, pixels", "higher", "chance that a wrong pixel is more uncertain than a right one", UNCERTAINTY
    ),
    "uncertainty_error_overlap": Fact(
        "Overlap with errors", "higher", "Dice of uncertain and wrong pixels, at the best threshold", UNCERTAINTY
    ),
    "ood_auroc": Fact(
        "Foreign images", "higher", "chance that a foreign image is more uncertain than one of this split", UNCERTAINTY
    ),
    "ood_fpr95": Fact(
        "False alarms at 95 %", "lower", "own images flagged where 95 % of the foreign ones are", UNCERTAINTY
    ),
}
SCALED, TUNED = "_scaled", "_tuned"
ENDINGS = {SCALED: ", scaled by the temperature", TUNED: ", chosen thresholds"}
BY_DISEASE = (
    *("f1", "f1_tuned", "average_precision", "threshold", "ece", "brier"),
    *("t_iou", "pointing_game", "pointing_chance", "energy_in_box", "prototype_in_box", "prototype_in_box_chance"),
    *("entanglement", "entanglement_chance", "entanglement_absent", "entanglement_absent_chance"),
)
"""Metrics whose name may end with that of a disease."""


def disease_of(name: str) -> str:
    """Return the disease that a metric is about: "Mass" of ``pointing_game/gradcam/Mass``; "" if it is about all."""
    base, *parts = name.split("/")
    if base not in BY_DISEASE:
        return ""
    parts = parts[1:] if base == "t_iou" else parts
    return "/".join(parts[1:] if parts and parts[0] in BASELINES else parts)


def branch_of(name: str) -> tuple[str, str]:
    """Return a metric's branch and its name there: "student" and "auroc" for ``student/auroc``, "" without a branch."""
    branch, _, rest = name.partition("/")
    return (branch, rest) if branch in BRANCH_NAMES and rest else ("", name)


def fact_of(name: str) -> Fact | None:
    """Return what is known about a metric; that of ``auroc/glioma`` is that of ``auroc``."""
    branch, name = branch_of(name)
    base = name.partition("/")[0]
    base = "retrieval" if base.startswith("retrieval_") else base
    fact = FACTS.get(base.removesuffix(SCALED).removesuffix(TUNED))
    if fact and disease_of(name):
        return fact._replace(group=DISEASES)
    return fact._replace(group=BRANCHES) if fact and branch else fact


def title_of(name: str) -> str:
    """Return a metric's name in words; ``auroc/glioma`` becomes "AUROC, glioma"."""
    branch, name = branch_of(name)
    base, _, part = name.partition("/")
    fact = fact_of(name)
    title = fact.title if fact else base.replace("_", " ").capitalize()
    title += "".join(words for ending, words in ENDINGS.items() if fact and base.endswith(ending))
    part = part.replace("_", " ") if fact and fact.group else part
    title = f"{title}, {part}" if part else title
    return f"{BRANCH_NAMES[branch]}: {title}" if branch else title
