// Before anything is painted: the theme that was chosen, if one was; otherwise the system's.
(() => {
  try {
    const chosen = localStorage.getItem('waybill.theme');
    if (chosen === 'light' || chosen === 'dark') document.documentElement.dataset.theme = chosen;
  } catch {
    // No storage here: the system's it is.
  }
})();
