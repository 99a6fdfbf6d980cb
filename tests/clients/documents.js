// The documents of all clients. The tag is the text itself; Relay's compiler finds the documents by it.
const graphql = String.raw;

export const ASK = graphql`
  mutation documentsAskMutation($input: AiActionInput!) {
    aiAction(input: $input) { requestId errors }
  }
`;

export const ANSWER = graphql`
  subscription documentsAnswerSubscription($userId: UserID, $clientSubscriptionId: String, $htmlResponse: Boolean = true) {
    aiCompletionResponse(userId: $userId, clientSubscriptionId: $clientSubscriptionId) {
      id requestId role content contentHtml @include(if: $htmlResponse) chunkId errors
    }
  }
`;
