// The newest published client by itself; tests use it from within the page.
import { createClient } from 'rivetkit-newest/client';

window.client = createClient(new URLSearchParams(location.search).get('endpoint'));
