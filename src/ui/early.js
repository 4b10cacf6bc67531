// Before anything is painted: the theme that was chosen, if one was (otherwise it is the system's); and the view that this
// address wants is on its way before the frame has asked for it.
(() => {
  try {
    const chosen = localStorage.getItem('waybill.theme');
    if (chosen === 'light' || chosen === 'dark') document.documentElement.dataset.theme = chosen;
  } catch {
    // No storage here: the system's it is.
  }
  const [, first, second, third] = location.pathname.split('/');
  const needs = {
    '': ['view/find', 'chart', 'columns', 'dress/orders'],
    c: third ? ['view/document', 'missing', 'sheet', 'dress/orders', 'versions', 'diff'] : ['view/find', 'chart', 'columns', 'dress/orders'],
    orders: ['view/document', 'missing', 'sheet', 'dress/orders', 'versions', 'diff'],
    live: ['view/stream', 'view/find', 'chart', 'columns', 'dress/orders'],
    groups: ['view/groups', 'chart'],
    letters: second ? ['view/letter', 'payload', 'mend', 'diff', 'editor'] : ['view/letters', 'bulk', 'operation'],
    collections: second ? ['view/definition', 'define', 'diff', 'editor', 'operation'] : ['view/collections', 'define', 'diff', 'editor', 'operation'],
    sums: ['view/sums', 'columns'],
    operations: ['view/operations', 'operation'],
    account: ['view/account'],
    audit: ['view/audit'],
  };
  for (const name of needs[first] ?? []) {
    const link = document.createElement('link');
    link.rel = 'modulepreload';
    link.href = `/ui/${name}.js`;
    document.head.append(link);
  }
})();
