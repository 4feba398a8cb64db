"""flairflow: lesion segmentation in large FLAIR MRI cohorts."""

__version__ = "0.1.0"
