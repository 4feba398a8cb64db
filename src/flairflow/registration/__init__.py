"""Registration: further sequences onto the FLAIR (rigid), the FLAIR onto the MNI152 template (affine or SyN)."""
