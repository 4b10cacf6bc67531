// Why there is no such order; of use to whoever looked for it, by whatever name.

import {h, replace, say} from './dom.js';
import {get, Problem} from './api.js';
import {badge, orderPath, shown} from './format.js';

// What each letter says, in its own words.
async function sentences(ids, signal, into) {
  const found = await Promise.allSettled(ids.map((id) => get(`/dead-letters/${id}`, signal)));
  replace(into, found.filter((one) => one.value).map(({value: letter}) => h('li', {class: 'quote'}, badge(letter.state), ' ', shown(letter.message, 300))));
}

// Why there is no order, by the kind of the problem; looks again by itself where that can help.
export function missing(place, uid, problem, {searched = false} = {}) {
  const box = h('div', {class: 'missing'});
  const again = (wait) => {
    const timer = setTimeout(async () => {
      try {
        await get(`/orders/${encodeURIComponent(uid)}`, place.signal);
        const {go} = await import('./router.js');
        say('The order is here');
        if (!place.signal.aborted) go(orderPath(uid), {replacing: true});
      } catch (error) {
        if (!place.signal.aborted && error instanceof Problem) tell(error);
      }
    }, wait);
    place.signal.addEventListener('abort', () => clearTimeout(timer));
  };
  const tell = (now) => {
    const name = h('span', {class: 'uid'}, shown(uid, 200));
    const letters = now.linked('dead_letter');
    const elsewhere = h('p', {}, searched ? null : [h('a', {href: `/?q=${encodeURIComponent(uid)}`}, 'Look for it as a track number or a customer'), ' · '],
      h('a', {href: `/letters?text=${encodeURIComponent(uid)}`}, 'Look for it in the dead letters'));
    if (now.kind === 'order-rejected') {
      const why = h('ul', {class: 'plain'});
      sentences(letters, place.signal, why);
      replace(box, h(searched ? 'h2' : 'h1', {class: 'verdictline'}, 'Received, and rejected'),
        h('p', {class: 'lead'}, 'A message with the order id ', name, ' came in, but it is no order yet.'),
        why,
        h('p', {class: 'actions left'}, letters.map((id, index) => h('a', {class: index ? 'button' : 'button main', href: `/letters/${id}`}, `Dead letter ${id}`))));
    } else if (now.kind === 'order-pending') {
      replace(box, h(searched ? 'h2' : 'h1', {class: 'verdictline'}, 'On its way'),
        h('p', {class: 'lead'}, 'The order ', name, ' was received, and is about to be projected. This page shows it as soon as it is there.'),
        h('p', {class: 'quote'}, now.message));
      again(700);
    } else if (now.kind === 'order-never-received') {
      replace(box, h(searched ? 'h2' : 'h1', {class: 'verdictline'}, 'Never received'),
        h('p', {class: 'lead'}, searched ? ['There is no order, track number or customer ', name, '.'] : ['There is no order ', name, '.']),
        h('p', {}, 'No message with this order id has come in. Perhaps it was never sent; or its message was too broken to read the id out of it. If it comes, it appears here by itself.'),
        elsewhere);
      again(2500);
    } else if (now.away) {
      replace(box, h(searched ? 'h2' : 'h1', {class: 'verdictline'}, 'Not known at the moment'), h('p', {class: 'lead'}, now.message), h('p', {}, 'This page asks again by itself.'));
      again(2000);
    } else {
      replace(box, h(searched ? 'h2' : 'h1', {class: 'verdictline'}, 'No such order'), h('p', {class: 'lead'}, now.message), elsewhere);
    }
  };
  tell(problem);
  return box;
}
