// A page with one counter on it, or none. Tests say what it shows by calling show(opts) with the
// options of useActor, and read what happened from the page.
import { createRivetKit } from '@rivetkit/react';
import { StrictMode, useEffect, useState } from 'react';
import { createRoot } from 'react-dom/client';

const { useActor } = createRivetKit(new URLSearchParams(location.search).get('endpoint'));

// Every status and error that was rendered, in order.
window.history_ = [];

function Counter({ opts }) {
  const { connection, connStatus, error, useEvent } = useActor(opts);
  const [events, setEvents] = useState([]);
  const [answer, setAnswer] = useState('');
  useEvent('count', (n) => setEvents((seen) => [...seen, n]));
  useEffect(() => {
    window.history_.push({ status: connStatus, error: error && `${error.group}.${error.code}` });
  }, [connStatus, error]);

  const call = (action, ...args) => async () => {
    setAnswer('waiting');
    try {
      setAnswer(`${action}: ${await connection[action](...args)}`);
    } catch (e) {
      setAnswer(`${action}: ${e.group}.${e.code} ${JSON.stringify(e.metadata)}`);
    }
  };
  return (
    <>
      <p id="status">{connStatus}</p>
      <p id="connection">{connection ? 'there' : 'none'}</p>
      <p id="events">{events.join(' ')}</p>
      <p id="answer">{answer}</p>
      <button id="get" onClick={call('get')}>get</button>
      <button id="increment" onClick={call('increment', 1)}>add one</button>
      <button id="refused" onClick={call('increment', -1)}>add what is refused</button>
    </>
  );
}

function App() {
  const [opts, show] = useState(null);
  useEffect(() => {
    window.show = show;
  }, []);
  return opts ? <Counter opts={opts} /> : <p id="empty">nothing here</p>;
}

// Strict mode mounts everything twice, as an app under development does.
createRoot(document.getElementById('root')).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
