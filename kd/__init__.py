"""kd: a YOLOv3 teacher, a yolov3-tiny student, and the information map between them."""
