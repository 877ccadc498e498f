"""Modules that chapters import: figures, predictions, and each chapter's own functions.

announce, environment, logbook, predictions      the frame of every chapter
figures, watching, tables                        drawing, a view of a fit; measurements made beforehand
opening                                          chapter 00
images                                           chapter 01
plain                                            chapter 02
warping, playground                              chapter 03
canonical                                        chapter 04
layers                                           chapter 05
owners                                           chapter 06
gains, alternatives                              chapter 07
ladder, filemap                                  chapter 08
rates                                            chapter 09
"""
