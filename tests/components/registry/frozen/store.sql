INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage, creation_time, last_update_time, workspace) VALUES (1, 'kdflow', '__ROOT__/mlruns/1', 'active', 1795876663481, 1795876663481, 'default');
INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time, end_time, source_version, lifecycle_stage, artifact_uri, experiment_id) VALUES ('00000000000000000000000000000000', 'one', 'UNKNOWN', '', '', 'unknown', 'FINISHED', 1795876663493, 1795876675336, '', 'active', '__ROOT__/mlruns/1/00000000000000000000000000000000/artifacts', 1);
INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time, end_time, source_version, lifecycle_stage, artifact_uri, experiment_id) VALUES ('11111111111111111111111111111111', 'register_model', 'UNKNOWN', '', '', 'unknown', 'FINISHED', 1795876663500, 1795876668163, '', 'active', '__ROOT__/mlruns/1/11111111111111111111111111111111/artifacts', 1);
INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time, end_time, source_version, lifecycle_stage, artifact_uri, experiment_id) VALUES ('22222222222222222222222222222222', 'register_model', 'UNKNOWN', '', '', 'unknown', 'FINISHED', 1795876668220, 1795876671729, '', 'active', '__ROOT__/mlruns/1/22222222222222222222222222222222/artifacts', 1);
INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time, end_time, source_version, lifecycle_stage, artifact_uri, experiment_id) VALUES ('33333333333333333333333333333333', 'register_model', 'UNKNOWN', '', '', 'unknown', 'FINISHED', 1795876671992, 1795876675325, '', 'active', '__ROOT__/mlruns/1/33333333333333333333333333333333/artifacts', 1);
INSERT INTO tags (key, value, run_uuid) VALUES ('kdflow.execution', 'one', '00000000000000000000000000000000');
INSERT INTO tags (key, value, run_uuid) VALUES ('kdflow.git_commit', '8a01db489615ffb41286e420d6bd0de97cf0c928', '00000000000000000000000000000000');
INSERT INTO tags (key, value, run_uuid) VALUES ('mlflow.source.git.commit', '8a01db489615ffb41286e420d6bd0de97cf0c928', '00000000000000000000000000000000');
INSERT INTO tags (key, value, run_uuid) VALUES ('mlflow.runName', 'one', '00000000000000000000000000000000');
INSERT INTO tags (key, value, run_uuid) VALUES ('mlflow.parentRunId', '00000000000000000000000000000000', '11111111111111111111111111111111');
INSERT INTO tags (key, value, run_uuid) VALUES ('mlflow.runName', 'register_model', '11111111111111111111111111111111');
INSERT INTO tags (key, value, run_uuid) VALUES ('kdflow.step', 'register_model', '11111111111111111111111111111111');
INSERT INTO tags (key, value, run_uuid) VALUES ('kdflow.registered', 'kdflow-student/1', '11111111111111111111111111111111');
INSERT INTO tags (key, value, run_uuid) VALUES ('mlflow.parentRunId', '00000000000000000000000000000000', '22222222222222222222222222222222');
INSERT INTO tags (key, value, run_uuid) VALUES ('mlflow.runName', 'register_model', '22222222222222222222222222222222');
INSERT INTO tags (key, value, run_uuid) VALUES ('kdflow.step', 'register_model', '22222222222222222222222222222222');
INSERT INTO tags (key, value, run_uuid) VALUES ('kdflow.registered', 'kdflow-student/2', '22222222222222222222222222222222');
INSERT INTO tags (key, value, run_uuid) VALUES ('mlflow.parentRunId', '00000000000000000000000000000000', '33333333333333333333333333333333');
INSERT INTO tags (key, value, run_uuid) VALUES ('mlflow.runName', 'register_model', '33333333333333333333333333333333');
INSERT INTO tags (key, value, run_uuid) VALUES ('kdflow.step', 'register_model', '33333333333333333333333333333333');
INSERT INTO tags (key, value, run_uuid) VALUES ('kdflow.registered', 'kdflow-student/2', '33333333333333333333333333333333');
INSERT INTO registered_models (name, creation_time, last_updated_time, workspace) VALUES ('kdflow-student', 1795876667283, 1795876671164, 'default');
INSERT INTO registered_models (name, creation_time, last_updated_time, description, workspace) VALUES ('kdflow-student.journal', 1795876667849, 1795876675447, 'kdflow''s journal of ''kdflow-student'': each version is one move of an alias. `kdflow history` reads it; do not change or delete it.', 'default');
INSERT INTO model_versions (name, version, creation_time, last_updated_time, description, current_stage, source, run_id, status, storage_location, workspace) VALUES ('kdflow-student', 1, 1795876667828, 1795876668096, '**promote**: there is no champion to beat, and every floor is reached

| test pictures | this version |
|---|---|
| mAP | 0.0 |
| mAP50 | 0.0 |

| rule | | |
|---|---|---|
| finite | kept | all numbers are finite |
| export | kept | ONNX and PyTorch differ by 0, at most 0.001 |
| floor_map | kept | mAP is 0.0, at least 0.0 |
| floor_map50 | kept | mAP50 is 0.0, at least 0.0 |

- git commit: `8a01db489615ffb41286e420d6bd0de97cf0c928`
- data: `0123abcd`
- parameters: `2e68cfdc0a20d30effddd4fc0cfc453f4a7edaf73543e5723fa62bc02b6c9ec4`
- teacher: `0b77c8b6fea53e8cfe7ed538c250a804a60d73554d69113b3ceb2940a83bffeb`
- student: `2b2c487745153c565d195e2a2e25161bb9fc73846f74376b82651663b8e73916`
- ONNX file: `b9ace62f19876cc9f084c3652192c28efb65918dbe33d030069ebbb631e24a14`
- execution: `one`

![what it finds in test pictures](get-artifact?path=gate%2Ffound.jpg&run_uuid=11111111111111111111111111111111)', 'None', 'runs:/11111111111111111111111111111111/model', '11111111111111111111111111111111', 'READY', 'runs:/11111111111111111111111111111111/model', 'default');
INSERT INTO model_versions (name, version, creation_time, last_updated_time, current_stage, source, status, storage_location, workspace) VALUES ('kdflow-student.journal', 1, 1795876667853, 1795876667853, 'None', 'models:/kdflow-student/1', 'READY', 'runs:/11111111111111111111111111111111/model', 'default');
INSERT INTO model_versions (name, version, creation_time, last_updated_time, current_stage, source, status, storage_location, workspace) VALUES ('kdflow-student.journal', 2, 1795876668118, 1795876668118, 'None', 'models:/kdflow-student/1', 'READY', 'runs:/11111111111111111111111111111111/model', 'default');
INSERT INTO model_versions (name, version, creation_time, last_updated_time, description, current_stage, source, run_id, status, storage_location, workspace) VALUES ('kdflow-student', 2, 1795876671164, 1795876675307, '**reject**: mAP changes by -0.0 points, less than +0.0; on resampled test pictures mAP changes by -0.0 to -0.0 points: with 95% confidence it does not rise; Ada took it back (misses bicycles); only `kdflow promote 2 --force` makes it the champion again

| test pictures | this version | version 1 | change | between |
|---|---|---|---|---|
| mAP | 0.0 | 0.0 | -0.0 | -0.0 and -0.0 |
| mAP50 | 0.0 | 0.0 | -0.0 | -0.1 and -0.0 |

| rule | | |
|---|---|---|
| finite | kept | all numbers are finite |
| export | kept | ONNX and PyTorch differ by 0, at most 0.001 |
| floor_map | kept | mAP is 0.0, at least 0.0 |
| floor_map50 | kept | mAP50 is 0.0, at least 0.0 |
| classes | kept | the classes are the champion''s |
| gain | **broken** | mAP changes by -0.0 points, less than +0.0 |
| certainty | **broken** | on resampled test pictures mAP changes by -0.0 to -0.0 points: with 95% confidence it does not rise |
| class_drop | kept | class ''cat'' falls from 0.0 to 0.0 AP50, at most 10.0 points |
| size | kept | the file has 1.00 times the champion''s size, at most 1.5 |
| latency | kept | a picture takes at most 100 times the champion''s time |
| taken_back | **broken** | Ada took it back (misses bicycles); only `kdflow promote 2 --force` makes it the champion again |

- git commit: `8a01db489615ffb41286e420d6bd0de97cf0c928`
- data: `0123abcd`
- parameters: `2e68cfdc0a20d30effddd4fc0cfc453f4a7edaf73543e5723fa62bc02b6c9ec4`
- teacher: `0b77c8b6fea53e8cfe7ed538c250a804a60d73554d69113b3ceb2940a83bffeb`
- student: `f457c52a15c8fbf7c6c08e06dfb9bf912154a5ee3cc02ebdaa54f0140f0e6d21`
- ONNX file: `8be175c2296b25d954a50e46a95b290c77de133a0107d9225494f8cefb9ea30d`
- execution: `one`

![what it finds in test pictures](get-artifact?path=gate%2Ffound.jpg&run_uuid=22222222222222222222222222222222)', 'None', 'runs:/22222222222222222222222222222222/model', '22222222222222222222222222222222', 'READY', 'runs:/22222222222222222222222222222222/model', 'default');
INSERT INTO model_versions (name, version, creation_time, last_updated_time, current_stage, source, status, storage_location, workspace) VALUES ('kdflow-student.journal', 3, 1795876671183, 1795876671183, 'None', 'models:/kdflow-student/2', 'READY', 'runs:/22222222222222222222222222222222/model', 'default');
INSERT INTO model_versions (name, version, creation_time, last_updated_time, current_stage, source, status, storage_location, workspace) VALUES ('kdflow-student.journal', 4, 1795876671829, 1795876671829, 'None', 'models:/kdflow-student/2', 'READY', 'runs:/22222222222222222222222222222222/model', 'default');
INSERT INTO model_versions (name, version, creation_time, last_updated_time, current_stage, source, status, storage_location, workspace) VALUES ('kdflow-student.journal', 5, 1795876671954, 1795876671954, 'None', 'models:/kdflow-student/1', 'READY', 'runs:/11111111111111111111111111111111/model', 'default');
INSERT INTO model_versions (name, version, creation_time, last_updated_time, current_stage, source, status, storage_location, workspace) VALUES ('kdflow-student.journal', 6, 1795876675447, 1795876675447, 'None', 'models:/kdflow-student/2', 'READY', 'runs:/22222222222222222222222222222222/model', 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.student_digest', '2b2c487745153c565d195e2a2e25161bb9fc73846f74376b82651663b8e73916', 'kdflow-student', 1, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.teacher_digest', '0b77c8b6fea53e8cfe7ed538c250a804a60d73554d69113b3ceb2940a83bffeb', 'kdflow-student', 1, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.data_digest', '0123abcd', 'kdflow-student', 1, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.map', '0.25', 'kdflow-student', 1, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.map50', '0.5', 'kdflow-student', 1, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.params_digest', '2e68cfdc0a20d30effddd4fc0cfc453f4a7edaf73543e5723fa62bc02b6c9ec4', 'kdflow-student', 1, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.execution', 'one', 'kdflow-student', 1, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.git_commit', '8a01db489615ffb41286e420d6bd0de97cf0c928', 'kdflow-student', 1, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.export_difference', '0', 'kdflow-student', 1, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.content', 'b9ace62f19876cc9f084c3652192c28efb65918dbe33d030069ebbb631e24a14', 'kdflow-student', 1, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.action', 'register', 'kdflow-student.journal', 1, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.previous', '', 'kdflow-student.journal', 1, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.version', '1', 'kdflow-student.journal', 1, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.who', 'Ada', 'kdflow-student.journal', 1, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.why', 'registered', 'kdflow-student.journal', 1, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.token', '2cc25ca82eef4d1abcada4a04c0099ea', 'kdflow-student.journal', 1, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.gate', 'promote', 'kdflow-student', 1, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.gate_reasons', 'there is no champion to beat, and every floor is reached', 'kdflow-student', 1, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.gate_rules', '{"export": {"passed": true, "reason": "ONNX and PyTorch differ by 0, at most 0.001"}, "finite": {"passed": true, "reason": "all numbers are finite"}, "floor_map": {"passed": true, "reason": "mAP is 0.0, at least 0.0"}, "floor_map50": {"passed": true, "reason": "mAP50 is 0.0, at least 0.0"}}', 'kdflow-student', 1, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.gate_scores', '{"challenger": {"map": 2.4e-05, "map50": 0.000235}}', 'kdflow-student', 1, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.gate_gain', 'null', 'kdflow-student', 1, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.gate_data_digest', '0123abcd', 'kdflow-student', 1, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.previous_champion', '', 'kdflow-student', 1, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.action', 'promote', 'kdflow-student.journal', 2, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.previous', '', 'kdflow-student.journal', 2, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.version', '1', 'kdflow-student.journal', 2, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.who', 'Ada', 'kdflow-student.journal', 2, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.why', 'there is no champion to beat, and every floor is reached', 'kdflow-student.journal', 2, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.token', 'f034c99fe5ef4897b91d65ce50c70495', 'kdflow-student.journal', 2, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.student_digest', 'f457c52a15c8fbf7c6c08e06dfb9bf912154a5ee3cc02ebdaa54f0140f0e6d21', 'kdflow-student', 2, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.teacher_digest', '0b77c8b6fea53e8cfe7ed538c250a804a60d73554d69113b3ceb2940a83bffeb', 'kdflow-student', 2, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.data_digest', '0123abcd', 'kdflow-student', 2, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.map', '0.25', 'kdflow-student', 2, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.map50', '0.5', 'kdflow-student', 2, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.params_digest', '2e68cfdc0a20d30effddd4fc0cfc453f4a7edaf73543e5723fa62bc02b6c9ec4', 'kdflow-student', 2, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.execution', 'one', 'kdflow-student', 2, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.git_commit', '8a01db489615ffb41286e420d6bd0de97cf0c928', 'kdflow-student', 2, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.export_difference', '0', 'kdflow-student', 2, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.content', '8be175c2296b25d954a50e46a95b290c77de133a0107d9225494f8cefb9ea30d', 'kdflow-student', 2, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.action', 'register', 'kdflow-student.journal', 3, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.previous', '1', 'kdflow-student.journal', 3, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.version', '2', 'kdflow-student.journal', 3, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.who', 'Ada', 'kdflow-student.journal', 3, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.why', 'registered', 'kdflow-student.journal', 3, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.token', '87bafe566e474a6ea61a43bd1266cd0c', 'kdflow-student.journal', 3, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.gate', 'reject', 'kdflow-student', 2, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.gate_reasons', 'mAP changes by -0.0 points, less than +0.0
on resampled test pictures mAP changes by -0.0 to -0.0 points: with 95% confidence it does not rise
Ada took it back (misses bicycles); only `kdflow promote 2 --force` makes it the champion again', 'kdflow-student', 2, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.gate_rules', '{"certainty": {"passed": false, "reason": "on resampled test pictures mAP changes by -0.0 to -0.0 points: with 95% confidence it does not rise"}, "class_drop": {"passed": true, "reason": "class ''cat'' falls from 0.0 to 0.0 AP50, at most 10.0 points"}, "classes": {"passed": true, "reason": "the classes are the champion''s"}, "export": {"passed": true, "reason": "ONNX and PyTorch differ by 0, at most 0.001"}, "finite": {"passed": true, "reason": "all numbers are finite"}, "floor_map": {"passed": true, "reason": "mAP is 0.0, at least 0.0"}, "floor_map50": {"passed": true, "reason": "mAP50 is 0.0, at least 0.0"}, "gain": {"passed": false, "reason": "mAP changes by -0.0 points, less than +0.0"}, "latency": {"passed": true, "reason": "a picture takes at most 100 times the champion''s time"}, "size": {"passed": true, "reason": "the file has 1.00 times the champion''s size, at most 1.5"}, "taken_back": {"passed": false, "reason": "Ada took it back (misses bicycles); only `kdflow promote 2 --force` makes it the champion again"}}', 'kdflow-student', 2, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.gate_scores', '{"challenger": {"map": 0.0, "map50": 0.0}, "champion": {"map": 2.4e-05, "map50": 0.000235}}', 'kdflow-student', 2, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.gate_gain', '{"map": {"difference": -2.4e-05, "high": -3e-06, "low": -6.4e-05}, "map50": {"difference": -0.000235, "high": -2.9e-05, "low": -0.000638}}', 'kdflow-student', 2, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.gate_data_digest', '0123abcd', 'kdflow-student', 2, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.previous_champion', '1', 'kdflow-student', 2, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.latency_ratio', '1.015', 'kdflow-student', 2, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.action', 'force', 'kdflow-student.journal', 4, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.previous', '1', 'kdflow-student.journal', 4, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.version', '2', 'kdflow-student.journal', 4, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.who', 'Ada', 'kdflow-student.journal', 4, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.why', 'the new camera needs it', 'kdflow-student.journal', 4, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.token', '2f38c40917b748abbef56b5a3315a064', 'kdflow-student.journal', 4, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.action', 'rollback', 'kdflow-student.journal', 5, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.previous', '2', 'kdflow-student.journal', 5, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.version', '1', 'kdflow-student.journal', 5, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.who', 'Ada', 'kdflow-student.journal', 5, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.why', 'misses bicycles', 'kdflow-student.journal', 5, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.token', 'e17ef1f444934809a68d77b57181c79d', 'kdflow-student.journal', 5, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.action', 'force', 'kdflow-student.journal', 6, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.previous', '1', 'kdflow-student.journal', 6, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.version', '2', 'kdflow-student.journal', 6, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.who', 'Ada', 'kdflow-student.journal', 6, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.why', 'bicycles are back', 'kdflow-student.journal', 6, 'default');
INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES ('kdflow.token', 'c9d5ad95dbeb4238976b8a473dcc5dcb', 'kdflow-student.journal', 6, 'default');
INSERT INTO registered_model_aliases (alias, version, name, workspace) VALUES ('challenger', 2, 'kdflow-student', 'default');
INSERT INTO registered_model_aliases (alias, version, name, workspace) VALUES ('champion', 2, 'kdflow-student', 'default');
