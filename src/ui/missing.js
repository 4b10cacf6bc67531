// Why there is no such document; of use to whoever looked for it, by whatever name.

import {h, replace, say} from './dom.js';
import {get, Problem} from './api.js';
import {apiPath, listPath, said} from './collections.js';
import {badge, documentPath, shown} from './format.js';

// What each letter says, in its own words.
async function sentences(ids, signal, into) {
  const found = await Promise.allSettled(ids.map((id) => get(`/dead-letters/${id}`, signal)));
  replace(into, found.filter((one) => one.value).map(({value: letter}) => h('li', {class: 'quote'}, badge(letter.state), ' ', shown(letter.message, 300))));
}

// Why there is none, by the kind of the problem; looks again by itself where that can help.
export function missing(place, collection, key, problem, {searched = false} = {}) {
  const {name, one, lookups} = collection;
  const box = h('div', {class: 'missing'});
  const title = searched ? 'h2' : 'h1';
  const again = (wait) => {
    const timer = setTimeout(async () => {
      try {
        await get(apiPath(name, key), place.signal);
        const {go} = await import('./router.js');
        say(`The ${one} is here`);
        if (!place.signal.aborted) go(documentPath(name, key), {replacing: true});
      } catch (error) {
        if (!place.signal.aborted && error instanceof Problem) tell(error);
      }
    }, wait);
    place.signal.addEventListener('abort', () => clearTimeout(timer));
  };
  const tell = (now) => {
    const quoted = h('span', {class: 'uid'}, shown(key, 200));
    const letters = now.linked('dead_letter');
    const others = lookups.map(said);
    const elsewhere = h('p', {}, searched || !others.length ? null : [h('a', {href: `${listPath(name)}?q=${encodeURIComponent(key)}`}, `Look for it by ${others.join(' or ')}`), ' · '],
      h('a', {href: `/letters?text=${encodeURIComponent(key)}`}, 'Look for it in the dead letters'));
    const show = (line, ...rest) => replace(box, h(title, {class: 'verdictline'}, line), ...rest);
    if (now.kind === 'rejected') {
      const why = h('ul', {class: 'plain'});
      sentences(letters, place.signal, why);
      show('Received, and rejected',
        h('p', {class: 'lead'}, `A message with the ${one} id `, quoted, ` came in, but it is no ${one} yet.`),
        why,
        h('p', {class: 'actions left'}, letters.map((id, index) => h('a', {class: index ? 'button' : 'button main', href: `/letters/${id}`}, `Dead letter ${id}`))));
    } else if (now.kind === 'pending') {
      show('On its way',
        h('p', {class: 'lead'}, `The ${one} `, quoted, ' was received, and is about to be projected. This page shows it as soon as it is there.'),
        h('p', {class: 'quote'}, now.message));
      again(700);
    } else if (now.kind === 'never-received') {
      show('Never received',
        h('p', {class: 'lead'}, searched && others.length ? [`There is no ${[one, ...others].join(', ').replace(/, ([^,]*)$/, ' or $1')} `, quoted, '.'] : [`There is no ${one} `, quoted, '.']),
        h('p', {}, `No message with this ${one} id has come in. Perhaps it was never sent; or its message was too broken to read the id out of it. If it comes, it appears here by itself.`),
        elsewhere);
      again(2500);
    } else if (now.kind === 'gone') {
      show('Gone',
        h('p', {class: 'lead'}, `The ${one} `, quoted, ' was there, and a later message has taken it away. All that came for it is kept.'),
        searched ? h('p', {class: 'actions left'}, h('a', {class: 'button main', href: documentPath(name, key)}, 'Its versions')) : null);
    } else if (now.away) {
      show('Not known at the moment', h('p', {class: 'lead'}, now.message), h('p', {}, 'This page asks again by itself.'));
      again(2000);
    } else {
      show(`No such ${one}`, h('p', {class: 'lead'}, now.message), now.kind === 'no-collection' ? h('p', {}, h('a', {href: '/collections'}, 'All collections')) : elsewhere);
    }
  };
  tell(problem);
  return box;
}
