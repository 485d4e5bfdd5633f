"""Evidence at small scale: do pretraining, the low-expression encoder and the gene graph help?"""
