"""YOLOv3, yolov3-tiny, how they are stored, and the processes that run them."""
