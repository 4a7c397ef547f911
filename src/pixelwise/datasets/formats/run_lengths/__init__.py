"""Run lengths: of COCO, of the brush of Label Studio, and of tables."""
