// What a page has, and Node has not.
import WebSocket from 'ws';

globalThis.document = { visibilityState: 'visible' };
globalThis.addEventListener = () => {};
globalThis.removeEventListener = () => {};
globalThis.WebSocket = WebSocket;
