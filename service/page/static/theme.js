// Before anything is drawn, so that nobody who chose dark sees a flash of light.
try {
  document.documentElement.dataset.theme = localStorage.getItem("theme") ?? "";
} catch {
  // a browser that keeps nothing follows the system
}
