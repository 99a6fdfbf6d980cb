// relay-runtime with its network layer and its store. relay-compiler has made the artifacts of documents.js; a
// project imports them by its Babel or SWC plugin, which writes these two lines.
import { Environment, Network, Observable, RecordSource, Store, commitMutation, requestSubscription } from 'relay-runtime';
import ask from '../__generated__/documentsAskMutation.graphql.js';
import answer from '../__generated__/documentsAnswerSubscription.graphql.js';
import { socket } from './socket.js';

export function connect(place) {
  const live = socket(place);
  const overHttp = async ({ text }, variables) => {
    const response = await fetch(place.graphqlUrl, {
      method: 'POST',
      headers: { authorization: `Bearer ${place.token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ query: text, variables }),
    });
    return response.json();
  };
  const overTheSocket = ({ text }, variables) =>
    Observable.create((sink) => live.subscribe({ query: text, variables }, sink));
  const network = Network.create(overHttp, overTheSocket);
  const environment = new Environment({ network, store: new Store(new RecordSource()) });
  return {
    ask: (input) => new Promise((resolve, reject) => {
      const onCompleted = ({ aiAction }) => resolve(aiAction.requestId);
      commitMutation(environment, { mutation: ask, variables: { input }, onCompleted, onError: reject });
    }),
    subscribe(variables, { result, failed }) {
      const onNext = (data) => result({ data });
      requestSubscription(environment, { subscription: answer, variables, onNext, onError: failed });
    },
    close: () => live.dispose(),
  };
}
