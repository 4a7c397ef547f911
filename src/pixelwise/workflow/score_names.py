"""The names of scores, as people read them."""

WORDS = {
    "mean_ap": "mean AP",
    "mean_ap_pooled": "mean AP, all objects",
    "pq": "PQ",
    "sq": "SQ",
    "rq": "RQ",
    "seg": "SEG",
    "mean_dice": "mean Dice",
    "v_rand": "V_rand",
    "v_info": "V_info",
    "top_1": "top-1 accuracy",
    "top_5": "top-5 accuracy",
    "count_error_mean": "mean error of the count",
    "count_error_mean_absolute": "mean absolute error of the count",
    "precision_50": "precision at IoU 0.5",
    "recall_50": "recall at IoU 0.5",
    "objects_true": "objects in the truth",
    "objects_predicted": "objects predicted",
}


def words(key: str) -> str:
    """Write the name of a score or a fact for people."""
    return WORDS.get(key, key.replace("_", " "))
