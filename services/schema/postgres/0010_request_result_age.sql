-- What is remembered of a request_id is deleted by its age.
CREATE INDEX request_result_age ON request_result (scope_id, create_time);
