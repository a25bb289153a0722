/* SPDX-License-Identifier: Apache-2.0 */
/* A program that does nothing: an emulator calls snn_reset, snn_push_row and snn_finish from outside. */
int main(void);

int main(void) { return 0; }
