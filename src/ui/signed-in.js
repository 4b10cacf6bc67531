// The end of a sign-in in a window of its own: who waits for it learns, and the window goes.

import {CHANNEL} from './session.js';

new BroadcastChannel(CHANNEL).postMessage('');
close();
