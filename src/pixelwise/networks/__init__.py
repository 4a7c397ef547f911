"""Networks of the U-Net and ResNet family, with plain arguments."""
