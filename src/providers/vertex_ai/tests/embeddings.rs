use super::*;
use crate::providers::vertex_ai::embeddings::DEFAULT_MODEL;

async fn embed(vertex: &Vertex, model: Option<&str>) -> Result<Embedding, ModelError> {
    let call = EmbeddingCall {
        unit_primitive: "documentation_search".to_owned(),
        model: model.map(str::to_owned),
        text: "How can I create an issue?".to_owned(),
    };
    vertex.provider().embed(call).await.map_err(|error| match error {
        EmbedError::Failed(error) => error,
        EmbedError::NotOffered => panic!("{error}"),
    })
}

#[tokio::test]
async fn a_text_becomes_a_vector() {
    let vertex = Vertex::start(gemini::embeddings(&[(&[0.25, -0.5], 7)])).await;
    let expected =
        Embedding { model: DEFAULT_MODEL.to_owned(), values: vec![0.25, -0.5], input_tokens: Some(7) };
    assert_eq!(embed(&vertex, None).await, Ok(expected));
    let calls = vertex.fake.calls();
    assert_eq!(
        calls[0].path,
        "/v1/projects/p1/locations/europe-west1/publishers/google/models/text-embedding-005:predict"
    );
    let instance = json!({ "content": "How can I create an issue?", "task_type": "RETRIEVAL_QUERY" });
    assert_eq!(calls[0].json(), json!({ "instances": [instance] }));
    assert!(calls[0].header("authorization").unwrap().starts_with("Bearer ey"));
}

/// What is logged and counted while a text is asked for, which `script` answers.
fn recorded(script: Script) -> (Vec<Value>, String) {
    let meter = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let counted = meter.handle();
    let log = crate::providers::testing::logged(|| {
        let _counting = metrics::set_default_local_recorder(&meter);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { drop(embed(&Vertex::start(script).await, None).await) });
    });
    let ended = log.into_iter().filter(|line| line["message"] == "embedding call ended").collect();
    (ended, counted.render())
}

#[test]
fn a_vector_is_logged_and_counted_without_its_text() {
    let (log, counted) = recorded(gemini::embeddings(&[(&[0.25, -0.5], 7)]));
    let [line] = log.as_slice() else { panic!("{log:?}") };
    let model = format!("vertex_ai/{DEFAULT_MODEL}");
    for (field, value) in [
        ("level", json!("INFO")),
        ("unit_primitive", json!("documentation_search")),
        ("provider", json!("vertex_ai")),
        ("model", json!(model)),
        ("outcome", json!("completed")),
        ("input_tokens", json!(7)),
    ] {
        assert_eq!(line[field], value, "{field}");
    }
    assert!(line["total_millis"].is_u64() && line["what"].is_null(), "{line}");
    assert!(!line.to_string().contains("create an issue"), "{line}");
    let labels = r#"gen_ai_operation_name="embeddings",gen_ai_provider_name="gcp.vertex_ai",gen_ai_request_model="text-embedding-005""#;
    for expected in [
        format!(r#"gen_ai_client_token_usage_sum{{{labels},gen_ai_token_type="input",estimated="false"}} 7"#),
        format!("gen_ai_client_operation_duration_seconds_count{{{labels}}} 1"),
    ] {
        assert!(counted.contains(&expected), "{expected} is not in {counted}");
    }
}

#[test]
fn a_failed_one_is_logged_and_counted_with_its_code() {
    let (log, counted) = recorded(Script::status(404));
    let [line] = log.as_slice() else { panic!("{log:?}") };
    assert_eq!((&line["outcome"], &line["what"]), (&json!("upstream_rejected"), &json!("status 404")));
    assert!(line["input_tokens"].is_null(), "{line}");
    assert!(counted.contains(r#"error_type="upstream_rejected"} 1"#), "{counted}");
    assert!(!counted.contains("gen_ai_client_token_usage"), "{counted}");
}

#[tokio::test]
async fn another_model_can_be_named() {
    let vertex = Vertex::start(gemini::embeddings(&[(&[1.0], 1)])).await;
    let embedding = embed(&vertex, Some("gemini-embedding-001")).await.unwrap();
    assert_eq!(embedding.model, "gemini-embedding-001");
    assert!(vertex.fake.calls()[0].path.ends_with("/models/gemini-embedding-001:predict"));
}

#[test]
fn the_configuration_names_the_model_that_is_the_default() {
    let config = configured("", &[]);
    assert_eq!(config.providers["vertex_ai"].embedding_model.as_deref(), Some(DEFAULT_MODEL));
}

#[tokio::test]
async fn tokens_may_be_written_as_a_fraction_or_left_out() {
    let answer = |statistics: Value| {
        let embeddings = json!({ "values": [1.0], "statistics": statistics });
        Script::json(200, &json!({ "predictions": [{ "embeddings": embeddings }] }))
    };
    let vertex = Vertex::start(answer(json!({ "token_count": 4.0 }))).await;
    assert_eq!(embed(&vertex, None).await.unwrap().input_tokens, Some(4));
    vertex.fake.always(answer(Value::Null));
    assert_eq!(embed(&vertex, None).await.unwrap().input_tokens, None);
}

#[rstest]
#[case::json_cut_short(Script::body(200, "application/json", "{\"predictions\": [{\"embeddings\": {\"val"))]
#[case::no_prediction(Script::json(200, &json!({ "predictions": [] })))]
#[case::no_values(Script::json(200, &json!({ "predictions": [{ "embeddings": { "values": [] } }] })))]
#[case::a_page(Script::body(200, "text/html", "<p>Sign in</p>"))]
#[tokio::test]
async fn an_answer_without_a_vector_is_malformed(#[case] script: Script) {
    let vertex = Vertex::start(script).await;
    assert_eq!(embed(&vertex, None).await.unwrap_err().code, Code::UpstreamMalformed);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_truncated_and_one_that_never_ends_is_given_up() {
    let half = Script::status(200).header("content-type", "application/json").send("{\"predictions\": [");
    let vertex = Vertex::start(half.clone().then(Step::Close)).await;
    assert_eq!(embed(&vertex, None).await.unwrap_err().code, Code::UpstreamTruncated);
    vertex.fake.always(half.then(Step::Stall));
    assert_eq!(embed(&vertex, None).await.unwrap_err().code, Code::UpstreamTimeout);
}

#[tokio::test]
async fn an_unknown_model_is_told_in_google_s_words() {
    let missing = google_error(404, "NOT_FOUND", "Publisher Model `text-embedding-000` was not found");
    let vertex = Vertex::start(Script::json(404, &missing)).await;
    let error = embed(&vertex, Some("text-embedding-000")).await.unwrap_err();
    assert_eq!((error.code, error.retry), (Code::UpstreamRejected, Retry::Never));
    assert_eq!(error.said.as_deref(), Some("Publisher Model `text-embedding-000` was not found"));
}
