"""YOLOv3, yolov3-tiny, and how they are stored."""
