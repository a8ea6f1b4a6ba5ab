"""YOLOv3, yolov3-tiny, the information map, and the training that distills one into the other."""
