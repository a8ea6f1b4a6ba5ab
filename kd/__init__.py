"""YOLOv3 and yolov3-tiny, and knowledge distillation from one to the other, weighted by information maps."""
